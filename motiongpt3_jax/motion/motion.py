"""The motion type of the library: joint positions of one or several persons, and their frame rate."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton

SMPL_JOINTS = {24: "full SMPL", 52: "SMPL-H (AMASS)", 55: "SMPL-X"}
"""Body models, by their number of joints."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Joint positions of one or several persons over time.

    Attributes:
      joints: places of the joints, y up, in metres; kept as float32.
      fps: frames in a second.
      skeleton: which joints these are.

    Raises:
      UserError: the joints have another shape, no frame, another kind of number, or a value that is not finite;
        or `fps` is not a positive number.
    """

    joints: Float[np.ndarray, "persons frames joints 3"]
    fps: float = 20.0
    skeleton: Skeleton = HUMANML3D

    def __post_init__(self) -> None:
        joints = np.asarray(self.joints)
        if not np.issubdtype(joints.dtype, np.floating):
            raise UserError(f"motion joints are of type {joints.dtype}; expected floating point numbers in metres.")
        object.__setattr__(self, "joints", joints.astype(np.float32, copy=False))
        check_joints(self.joints, self.skeleton, "motion")
        if not positive(self.fps):
            raise UserError(f"motion has fps {self.fps!r}; expected a positive number of frames in a second.")
        object.__setattr__(self, "fps", float(self.fps))

    @property
    def persons(self) -> int:
        """Number of persons."""
        return self.joints.shape[0]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.joints.shape[1]

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.frames / self.fps


def positive(number: object) -> bool:
    """Whether this is a finite number above 0."""
    try:
        return isinstance(number, int | float | np.integer | np.floating) and 0 < float(number) < np.inf
    except OverflowError:  # a whole number beyond all floats
        return False


def check_joints(joints: np.ndarray, skeleton: Skeleton, what: str) -> None:
    """Raise UserError unless these are finite joints (persons, frames, joints, 3) of the skeleton."""
    count = len(skeleton.joints)
    if joints.ndim != 4 or joints.shape[2:] != (count, 3):
        raise UserError(
            f"{what} has joints of shape {joints.shape}; expected (persons, frames, {count}, 3) "
            f"for the skeleton '{skeleton.name}'.{joints_hint(joints.shape, skeleton)}"
        )
    if 0 in joints.shape:
        raise UserError(f"{what} is empty: its joints have shape {joints.shape}; give it at least one frame.")
    bad = np.argwhere(~np.isfinite(joints))
    if len(bad):
        person, frame, joint, _ = (int(i) for i in bad[0])
        raise UserError(
            f"{what} has {len(bad)} values that are not finite, the first at person {person}, frame {frame}, joint "
            f"{joint} ({skeleton.joints[joint]}); drop or fill these frames first."
        )


def joints_hint(shape: tuple[int, ...], skeleton: Skeleton) -> str:
    """A sentence for shapes that are often met, or nothing."""
    count = len(skeleton.joints)
    if len(shape) >= 2 and shape[-1] == 3 and shape[-2] in SMPL_JOINTS and count == 22:
        rest = "the two hands" if shape[-2] == 24 else "hands and face"
        return f"\n{shape[-2]} joints look like {SMPL_JOINTS[shape[-2]]}: drop {rest} with joints[..., :22, :]."
    if shape == (shape[0] if shape else 0, count, 3):
        return "\nIt looks like one person: add the axis with joints[None]."
    return ""
