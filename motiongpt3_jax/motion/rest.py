"""Rest poses (bind poses): a standing body in T-pose, its left to +x, facing +z.

These are for files that hold bodies, in which a joint's rotation acts on everything beyond it. The features count from
another rest pose, with arms that hang: see `Skeleton.directions`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.skeleton import HUMANML3D, KIT, Skeleton

Vector = tuple[int, int, int]


@dataclass(frozen=True)
class Hint:
    """A measurement of a joint's twist about its bone, which the bone's direction does not show.

    Attributes:
      joint: the joint, which has one child.
      start: with `end` the two joints whose connecting line shows it.
      end: see `start`.
      towards: where that line points, or bends to, in a joint that is not turned about its bone.
      weight: how much it counts beside other hints of the joint.
      share: part of the turn that this joint takes; the joints beyond it take the rest.
    """

    joint: int
    start: int
    end: int
    towards: Vector
    weight: float = 1.0
    share: float = 1.0


@dataclass(frozen=True)
class Rest:
    """A skeleton's rest pose.

    Attributes:
      bones: each joint from its parent in a body of average size, centimetres; a fitted body keeps the directions.
      tips: where the body ends beyond its outermost joints, centimetres from them.
      hints: what shows the turn of joints about their bones.
    """

    bones: tuple[Vector, ...]
    tips: dict[int, Vector]
    hints: tuple[Hint, ...]

    def directions(self) -> Float[np.ndarray, "joints 3"]:
        """Unit vectors along the bones; zero for the root."""
        bones = np.asarray(self.bones, np.float64)
        return bones / np.maximum(np.linalg.norm(bones, axis=-1, keepdims=True), 1)


_LEFT = (1, 0, 0)
_AHEAD = (0, 0, 1)
_BACK = (0, 0, -1)

_RESTS: dict[str, Rest] = {
    # The mean body of SMPL, whose joints these are, left and right made alike: its rotations then fit ours.
    HUMANML3D.name: Rest(
        bones=(
            *((0, 0, 0), (7, -9, -1), (-7, -9, -1), (0, 11, -3), (4, -38, -1), (-4, -38, -1), (0, 14, 0)),
            *((-1, -40, -4), (1, -40, -4), (0, 5, 3), (3, -5, 12), (-3, -5, 12), (0, 21, -4), (8, 12, -4)),
            *((-8, 12, -4), (0, 7, 5), (9, 3, -1), (-9, 3, -1), (26, -1, -2), (-26, -1, -2), (25, 1, 0), (-25, 1, 0)),
        ),
        tips={10: (0, 0, 7), 11: (0, 0, 7), 15: (0, 18, 0), 20: (16, 0, 0), 21: (-16, 0, 0)},
        hints=(
            Hint(1, 4, 7, _BACK),
            Hint(1, 7, 10, (3, -5, 12), 0.5),
            Hint(2, 5, 8, _BACK),
            Hint(2, 8, 11, (-3, -5, 12), 0.5),
            Hint(3, 14, 13, _LEFT, share=0.5),
            Hint(16, 18, 20, _AHEAD),
            Hint(17, 19, 21, _AHEAD),
        ),
    ),
    KIT.name: Rest(
        bones=(
            *((0, 0, 0), (0, 10, 0), (0, 20, 0), (0, 20, 0), (0, 20, 0), (-18, 0, 0), (-28, 0, 0), (-26, 0, 0)),
            *((18, 0, 0), (28, 0, 0), (26, 0, 0), (-9, 0, 0), (0, -42, 0), (0, -42, 0), (0, -3, 6), (0, 0, 9)),
            *((9, 0, 0), (0, -42, 0), (0, -42, 0), (0, -3, 6), (0, 0, 9)),
        ),
        tips={4: (0, 10, 0), 7: (-16, 0, 0), 10: (16, 0, 0), 15: (0, 0, 4), 20: (0, 0, 4)},
        hints=(
            Hint(11, 12, 13, _BACK),
            Hint(11, 13, 15, _AHEAD, 0.5),
            Hint(16, 17, 18, _BACK),
            Hint(16, 18, 20, _AHEAD, 0.5),
            Hint(1, 5, 8, _LEFT, share=0.5),
            Hint(5, 6, 7, _AHEAD),
            Hint(8, 9, 10, _AHEAD),
        ),
    ),
}


def rest_of(skeleton: Skeleton) -> Rest:
    """The rest pose of a skeleton.

    Raises:
      UserError: it has none.
    """
    if skeleton.name not in _RESTS:
        raise UserError(f"the skeleton '{skeleton.name}' has no rest pose; known are {', '.join(_RESTS)}.")
    return _RESTS[skeleton.name]
