"""Resample motions to another frame rate by Catmull-Rom or linear interpolation."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.motion import Motion, positive

MOST_FRAMES = 1_000_000
"""Most frames of a resampled motion: more than an hour at 240 frames a second."""

# Rows weigh the frames before, at, after and two after a time; columns are powers 0 to 3 of the way from "at" to
# "after" (Catmull and Rom 1974).
_CUBIC = np.array([[0, -0.5, 1, -0.5], [1, 0, -2.5, 1.5], [0, 0.5, 2, -1.5], [0, 0, -0.5, 0.5]])


def resample_joints(
    joints: Float[np.ndarray, "*batch frames joints 3"], fps: float, to: float, cubic: bool = True
) -> Float[np.ndarray, "*batch new_frames joints 3"]:
    """Resample joints to another frame rate; the first frame stays, and no frame lies after the last.

    Args:
      joints: the motion.
      fps: its frames in a second.
      to: the new frames in a second.
      cubic: draw smooth curves through the frames instead of straight lines.
    """
    joints = np.asarray(joints)
    if fps == to:
        return joints
    last = joints.shape[-3] - 1
    if last * to / fps > MOST_FRAMES:
        raise UserError(
            f"{last + 1} frames at {fps:g} a second would become {last * to / fps:.3g} at {to:g}; "
            f"here it is {MOST_FRAMES:,} at most. Is a frame rate wrong?"
        )
    # Rounding must not lose the last frame, so a time that misses it by a millionth of a frame counts.
    return interpolate(joints, np.arange(int(last * to / fps + 1e-6) + 1) * (fps / to), cubic)


def interpolate(
    joints: Float[np.ndarray, "*batch frames joints 3"], times: Float[np.ndarray, "times"], cubic: bool = True
) -> Float[np.ndarray, "*batch times joints 3"]:
    """Catmull-Rom spline interpolation at times counted in frames; linear extrapolation before and after."""
    last = joints.shape[-3] - 1
    at = np.clip(np.floor(times).astype(int), 0, max(last - 1, 0))
    way = times - at
    if cubic and last > 0:
        outside = (way < 0) | (way > 1)
        weights = np.vander(way, 4, increasing=True) @ _CUBIC.T
        weights[outside] = np.stack([0 * way, 1 - way, way, 0 * way], axis=-1)[outside]
        padded = np.concatenate(
            [
                2 * joints[..., :1, :, :] - joints[..., 1:2, :, :],
                joints,
                2 * joints[..., -1:, :, :] - joints[..., -2:-1, :, :],
            ],
            axis=-3,
        )
        frames = [padded[..., at + step, :, :] for step in range(4)]
    else:
        weights = np.stack([1 - way, way], axis=-1)
        frames = [joints[..., np.minimum(at + step, last), :, :] for step in range(2)]
    weights = weights.astype(joints.dtype)
    return sum(weights[:, step, None, None] * frame for step, frame in enumerate(frames))


def resample_motion(motion: Motion, fps: float, cubic: bool = True) -> Motion:
    """Resample a motion to `fps` frames in a second, see `resample_joints`."""
    if not positive(fps):
        raise UserError(f"cannot resample to fps {fps!r}; expected a positive number of frames in a second.")
    return replace(motion, joints=resample_joints(motion.joints, motion.fps, fps, cubic), fps=fps)


def require_frames(motion: Motion, fps: float, least: int = 2, what: str = "the motion") -> None:
    """Raise UserError where fewer than `least` frames are left of a motion at `fps` frames in a second."""
    left = int((motion.frames - 1) * fps / motion.fps + 1e-6) + 1
    if left < least:
        frames = "a single frame" if motion.frames == 1 else f"{motion.frames} frames"
        at = "" if motion.fps == fps else f" at {motion.fps:g} a second, which is {left} at the model's {fps:g}"
        raise UserError(f"{what} has {frames}{at}; at least {least} are needed: give a longer one.")
