"""Detect what an array of a data set holds, joints or features of which skeleton, and validate its numbers.

Files and whole folders are read by the same judgement, so a folder is never trusted where one of its files is refused.
"""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from jaxtyping import Bool, Float

from motiongpt3_jax.motion import interhuman
from motiongpt3_jax.motion.arrays import UnreadableArrayError
from motiongpt3_jax.motion.motion import SMPL_JOINTS, joints_hint
from motiongpt3_jax.motion.normalised import looks_normalised
from motiongpt3_jax.motion.recover import features_to_joints
from motiongpt3_jax.motion.skeleton import HUMANML3D, SKELETONS, Skeleton

EXPECTED = "expected (frames, 22, 3) joints in metres or (frames, 263) features"

FARTHEST = 1e6
"""Farthest from the origin that joints may be, as the file has them: a kilometre where its unit is the millimetre."""

LARGEST_FEATURE = 100.0
"""Metres, metres a frame or radians a frame that no feature of a body reaches."""

LARGEST_NORMALISED = 1e6
"""The same of normalised features, whose unit is a deviation."""

POINT = 0.001
"""Metres within which the joints of a frame lie that shows no body."""

Statistics = tuple[Float[np.ndarray, "features"], Float[np.ndarray, "features"]]
"""Mean and std of a data set's features."""

_BY_FEATURES = {skeleton.features: skeleton for skeleton in SKELETONS.values()}
_BY_JOINTS = {len(skeleton.joints): skeleton for skeleton in SKELETONS.values()}


class NormalisedFeaturesError(UnreadableArrayError):
    """Features that need the statistics of their data set."""


@dataclass(frozen=True, eq=False)
class ArrayContent:
    """The motion in an array.

    Attributes:
      skeleton: which joints it has.
      joints: in metres.
      features: raw; None where the array held joints.
      left_out: which frames showed no body, e.g. "frames 45 to 89 of 90"; empty when all do.
      notes: what was detected or guessed, a sentence each.
      fps: frames in a second, where they are not the skeleton's.
    """

    skeleton: Skeleton
    joints: Float[np.ndarray, "persons frames joints 3"]
    features: Float[np.ndarray, "frames features"] | None = None
    left_out: str = ""
    notes: tuple[str, ...] = ()
    fps: float | None = None


def interpret_array(array: np.ndarray, statistics: Statistics | None = None) -> ArrayContent:
    """Convert an array of joints or features to joints, of whatever skeleton its shape tells.

    Args:
      array: as a `.npy` file holds it.
      statistics: mean and std with which features that are normalised are made raw.

    Raises:
      UnreadableArrayError: it is no motion, or one that nobody can have made.
    """
    if array.ndim == 2 and array.shape[1] in _BY_FEATURES:
        return _from_features(as_float32(array), _BY_FEATURES[array.shape[1]], statistics)
    if array.ndim == 2 and array.shape[1] in (*interhuman.COLUMNS, interhuman.FEATURES):
        return _from_interhuman(as_float32(array))
    array, note = standard_axes(array)
    if array.ndim not in (3, 4) or array.shape[-1] != 3 or array.shape[-2] not in _BY_JOINTS:
        raise UnreadableArrayError(f"has shape {array.shape}", f"{EXPECTED}.{shape_hint(array.shape)}")
    if array.ndim == 4 and len(array) > array.shape[1]:
        read = f"its shape {array.shape} is read as (persons, frames, joints, 3)"
        note = f"{read}: if the frames come before the persons, save array.swapaxes(0, 1)"
    skeleton = _BY_JOINTS[array.shape[-2]]
    joints = as_float32(array) * np.float32(skeleton.unit)
    joints, left_out = trim_padding(joints if joints.ndim == 4 else joints[None])
    return ArrayContent(skeleton, joints, None, left_out, (note,) if note else ())


def _from_interhuman(array: Float[np.ndarray, "frames columns"]) -> ArrayContent:
    if array.shape[1] == interhuman.FEATURES:
        joints, what = interhuman.features_to_joints(array), "its features"
    else:
        joints, what = interhuman.read_rows(array).joints, "its files, z up"
    joints, left_out = trim_padding(joints[None])
    note = f"its shape {array.shape} is read as one person of InterHuman at {interhuman.FPS:g} fps: {what}"
    return ArrayContent(HUMANML3D, joints, None, left_out, (note,), interhuman.FPS)


def as_float32(array: np.ndarray) -> Float[np.ndarray, "..."]:
    """Convert floating point numbers to float32, checked to be finite.

    Raises:
      UnreadableArrayError: it holds other than floating point numbers, none, or some that are not finite.
    """
    if not np.issubdtype(array.dtype, np.floating):
        raise UnreadableArrayError(f"holds {array.dtype} values", "expected floating point numbers")
    if not array.size:
        raise UnreadableArrayError(f"is empty: its shape is {array.shape}", "expected at least one frame")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
        array = array.astype(np.float32)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        first = tuple(int(i) for i in bad[0])
        raise UnreadableArrayError(
            f"has {len(bad)} values that are not finite (NaN or infinite), the first at index {first} of shape "
            f"{array.shape}",
            "drop or fill these frames first",
        )
    return array


def standard_axes(array: np.ndarray) -> tuple[np.ndarray, str]:
    """Transpose joints of MDM, (joints, 3, frames), to (frames, joints, 3), with a note; others stay as they are.

    Raises:
      UnreadableArrayError: it is a batch of such motions.
    """
    if array.ndim not in (3, 4) or array.shape[-2] != 3 or array.shape[-3] not in _BY_JOINTS:
        return array, ""
    if array.ndim == 4 and len(array) > 1:
        raise UnreadableArrayError(
            f"has shape {array.shape}, a batch of {len(array)} motions with the frames last, as MDM writes them",
            "save each in a file of its own, the first as array[0].transpose(2, 0, 1)",
        )
    single = array.reshape(array.shape[-3:]).transpose(2, 0, 1)
    return single, f"its shape {array.shape} is read as (joints, 3, frames), as MDM writes it"


def trim_padding(
    joints: Float[np.ndarray, "persons frames joints 3"],
) -> tuple[Float[np.ndarray, "persons kept joints 3"], str]:
    """Trim padding: the frames that show bodies, and which others lay around them, e.g. "frames 45 to 89 of 90".

    Raises:
      UnreadableArrayError: there is no body at all, some are missing in between, or one is where nobody can be.
    """
    farthest = float(np.abs(joints).max())
    if farthest > FARTHEST:
        raise UnreadableArrayError(
            f"has joints up to {farthest:.3g} from the origin", "give joints in metres: scale or correct them"
        )
    missing = np.ptp(joints, axis=2).max(axis=-1) < POINT
    kept, left_out = _trim_range(missing.all(axis=0))
    person, frame = next(zip(*np.nonzero(missing[:, kept])), (None, None))
    if frame is not None:
        whose = f"person {person + 1} has no body" if len(joints) > 1 else "there is no body"
        raise UnreadableArrayError(
            f"has frames in which {whose}, the first is {frame + kept.start}: all joints lie at one point",
            "drop or fill these frames first",
        )
    return joints[:, kept], left_out


def _trim_range(missing: Bool[np.ndarray, "frames"]) -> tuple[slice, str]:
    """The frames from the first to the last that is not missing, and which ones lie before and after."""
    present = np.flatnonzero(~missing)
    if not len(present):
        raise UnreadableArrayError(
            f"shows no body in any of its {len(missing)} frames: all joints lie at one point",
            "write it anew",
        )
    kept, frames = slice(int(present[0]), int(present[-1]) + 1), len(missing)
    ends = [(0, kept.start), (kept.stop, frames)]
    trimmed = [_frame_range(start, stop) for start, stop in ends if stop > start]
    return kept, f"{' and '.join(trimmed)} of {frames}" if trimmed else ""


def _frame_range(start: int, stop: int) -> str:
    return f"frames {start} to {stop - 1}" if stop - start > 1 else f"frame {start}"


def _from_features(
    features: Float[np.ndarray, "frames features"], skeleton: Skeleton, statistics: Statistics | None
) -> ArrayContent:
    # Padding is all zeros, before and after normalising alike; one row says nothing of the others.
    kept, left_out = _trim_range(~features.any(axis=1))
    check_magnitude(features, skeleton, LARGEST_NORMALISED)
    features, note = _denormalise(features[kept], skeleton, statistics)
    check_magnitude(features, skeleton)
    joints, missing = trim_padding(features_to_joints(features, skeleton)[None])
    if missing:
        raise UnreadableArrayError(f"has features without a body in {missing}", "drop or fill these frames first")
    return ArrayContent(skeleton, joints, features, left_out, (note,))


def _denormalise(
    features: Float[np.ndarray, "frames features"], skeleton: Skeleton, statistics: Statistics | None
) -> tuple[Float[np.ndarray, "frames features"], str]:
    if not looks_normalised(features, skeleton):
        return features, "features are read as raw"
    if statistics is None:
        what = "holds features that look normalised"
        raise NormalisedFeaturesError(what, "multiply by the std and add the mean of their data set")
    mean, std = statistics
    if mean.shape != features.shape[1:]:
        what = f"has {features.shape[1]} features a frame"
        raise UnreadableArrayError(what, f"the model's statistics are of {len(mean)}")
    raw = features * std + mean
    if looks_normalised(raw, skeleton):
        what = "holds features that are neither raw nor normalised with the model's statistics"
        raise UnreadableArrayError(what, "give the model that was trained on their data set")
    return raw, "features are read as normalised, with the model's statistics"


def check_magnitude(
    features: Float[np.ndarray, "*rows features"], skeleton: Skeleton = HUMANML3D, most: float = LARGEST_FEATURE
) -> None:
    """Raises UnreadableArrayError where features, or their statistics, are beyond what bodies do."""
    sizes = np.abs(features)
    if sizes.max() * skeleton.unit > most:
        index = tuple(int(i) for i in np.unravel_index(int(sizes.argmax()), sizes.shape))
        raise UnreadableArrayError(
            f"has features up to {sizes.max():.3g}, the first at index {index}, which no body has",
            "correct them or write them anew",
        )


def shape_hint(shape: tuple[int, ...]) -> str:
    """A sentence for shapes that are often met, or nothing."""
    if len(shape) == 2 and shape[0] in _BY_FEATURES:
        return "\nThe axes look exchanged: save array.T."
    if len(shape) == 2 and shape[1] in (66, 63):
        return f"\nThese look like flat joints: save array.reshape(-1, {shape[1] // 3}, 3)."
    if len(shape) == 2 and shape[0] in (66, 63):
        return f"\nThese look like flat joints with the frames last: save array.T.reshape(-1, {shape[0] // 3}, 3)."
    if shape in ((22, 3), (21, 3)):
        return "\nThis looks like one pose: add the axis of the frames with array[None]."
    if len(shape) == 3 and shape[-1] in _BY_FEATURES:
        return "\nThis looks like a batch of features: save one motion a file."
    if len(shape) == 4 and shape[1] in _BY_FEATURES and shape[2] == 1:
        return "\nThis looks like features as MDM has them: save one motion a file, the first as array[0, :, 0].T."
    return joints_hint(shape, HUMANML3D) or _axes_hint(shape) or _squeezed_hint(shape)


def _axes_hint(shape: tuple[int, ...]) -> str:
    """A sentence for joints whose axes stand in another order than (frames, joints, 3)."""
    for order in list(permutations(range(3)))[1:] if len(shape) in (3, 4) else ():
        frames, joints, places = (shape[-3:][axis] for axis in order)
        if places == 3 and (joints in _BY_JOINTS or joints in SMPL_JOINTS) and frames > 0:
            what = "The frames come last, as MDM writes them" if order == (2, 0, 1) else "The axes are in another order"
            single = f"{'array[0]' if len(shape) == 4 else 'array'}.transpose{order}"
            return f"\n{what}: save {single}{'' if joints in _BY_JOINTS else '[:, :22]'}."
    return ""


def _squeezed_hint(shape: tuple[int, ...]) -> str:
    """The hint for a shape without its axes of length 1."""
    small = tuple(length for length in shape if length != 1)
    if small == shape:
        return ""
    if small[1:] in [(count,) for count in _BY_FEATURES] + [(count, 3) for count in _BY_JOINTS]:
        return "\nAxes of length 1 are too many: save array.squeeze()."
    return shape_hint(small).replace("array", "array.squeeze()")
