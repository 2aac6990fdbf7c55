"""Write BVH (Biovision motion capture), which Blender, Maya, MotionBuilder and game engines read.

The skeleton's rest is the T-pose of `motiongpt3_jax.motion.rest`, facing +z, y up. Lengths are in centimetres: in
Blender import with scale 0.01. Joints turn about their own z, then x, then y axis, in degrees, without jumps from
frame to frame. Joints keep our names.

Bones that keep their lengths turn and no more. Where bones change, as in generated motions or between two people, every
joint has place channels too, which stand for its OFFSET, as Blender reads them and most tools do; three.js adds them to
it, so take a .glb there.
"""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.motion import rotations
from motiongpt3_jax.motion.fitting import Fitted, bones_change, children_of, fit, local_translations
from motiongpt3_jax.motion.motion import Motion
from motiongpt3_jax.motion.rest import rest_of
from motiongpt3_jax.motion.saving import check_exportable, paths_per_person, whole_file
from motiongpt3_jax.motion.skeleton import Skeleton

UNIT = 100.0
"""Units of length in the file to the metre."""

LOCKED = 1e-6
"""Gimbal lock: cosine of the turn about x below which the turns about z and y cannot be told apart."""


def write_bvh(path: str | Path, motion: Motion) -> list[Path]:
    """Write a motion as BVH, one file a person; they appear at once or not at all.

    Args:
      path: the file; `walk.bvh` of several persons becomes `walk_1.bvh`, `walk_2.bvh` and so on.
      motion: the motion.

    Returns:
      The files.

    Raises:
      UserError: another ending, or a motion that such a file cannot hold.
    """
    paths = paths_per_person(path, ".bvh", motion.persons)
    check_exportable(path, motion)
    with ExitStack() as stack:
        parts = [stack.enter_context(whole_file(path, ".bvh")) for path in paths]
        for part, joints in zip(parts, motion.joints):
            _write(part, joints, motion)
    return paths


def _write(path: Path, joints: Float[np.ndarray, "frames joints 3"], motion: Motion) -> None:
    skeleton = motion.skeleton
    rigid = not bones_change(joints, skeleton)
    fitted = fit(joints, skeleton)  # the turns of rigid bones in any case: many tools carry over turns alone
    lines, order = _hierarchy(0, fitted, skeleton, "", rigid)
    columns = np.degrees(angles_zxy(fitted.rotations[:, order]))
    if rigid:
        rows = np.concatenate([fitted.root * UNIT, columns.reshape(motion.frames, -1)], axis=-1)
    else:
        places = local_translations(fitted, joints, skeleton)[:, order] * UNIT
        rows = np.concatenate([places, columns], axis=-1).reshape(motion.frames, -1)
    with open(path, "w", encoding="ascii", newline="\n") as file:
        file.write("\n".join(["HIERARCHY", *lines, "MOTION", f"Frames: {motion.frames}"]))
        file.write(f"\nFrame Time: {1 / motion.fps:.10f}\n")
        np.savetxt(file, rows, fmt="%.6f")


def _hierarchy(joint: int, fitted: Fitted, skeleton: Skeleton, indent: str, rigid: bool) -> tuple[list[str], list[int]]:
    """The lines of a joint and all beyond it, and the joints in the order in which they stand there."""
    root = skeleton.parents[joint] < 0
    within, order = indent + "\t", [joint]
    places = "Xposition Yposition Zposition " if root or not rigid else ""
    lines = [
        f"{indent}{'ROOT' if root else 'JOINT'} {skeleton.joints[joint]}",
        f"{indent}{{",
        f"{within}OFFSET {_numbers(fitted.offsets[joint] * UNIT)}",
        f"{within}CHANNELS {6 if places else 3} {places}Zrotation Xrotation Yrotation",
    ]
    children = children_of(joint, skeleton)
    for child in children:
        inner, below = _hierarchy(child, fitted, skeleton, within, rigid)
        lines, order = lines + inner, order + below
    if not children:
        tip = np.asarray(rest_of(skeleton).tips[joint]) / 100 * UNIT
        lines += [f"{within}End Site", f"{within}{{", f"{within}\tOFFSET {_numbers(tip)}", f"{within}}}"]
    return [*lines, f"{indent}}}"], order


def _numbers(vector: Float[np.ndarray, "3"]) -> str:
    return " ".join(f"{number:.6f}" for number in vector)


def angles_zxy(turns: Float[np.ndarray, "frames joints 4"]) -> Float[np.ndarray, "frames joints 3"]:
    """Intrinsic Euler angles z, x, y of quaternions, radians, unwrapped: each frame's nearest to the one before.

    Every rotation has two such triples, and any number of whole turns more. Where x is at a right angle, z and y turn
    about one axis: y then stays what it was.
    """
    matrix = rotations.to_matrix(turns)
    x = np.arcsin(np.clip(matrix[..., 2, 1], -1, 1))
    z = np.arctan2(-matrix[..., 0, 1], matrix[..., 1, 1])
    y = np.arctan2(-matrix[..., 2, 0], matrix[..., 2, 2])
    angles = np.stack([z, x, y], axis=-1)
    z_and_y, locked = np.arctan2(matrix[..., 1, 0], matrix[..., 0, 0]), np.cos(x) < LOCKED
    before = np.zeros((turns.shape[1], 3))
    for frame in range(len(angles)):
        same_y = np.stack([z_and_y[frame] - np.sign(x[frame]) * before[:, 2], x[frame], before[:, 2]], axis=-1)
        first = np.where(locked[frame][:, None], same_y, angles[frame])
        candidates = np.stack([first, first * [1, -1, 1] + np.pi])
        candidates += 2 * np.pi * np.round((before - candidates) / (2 * np.pi))
        distance = np.abs(candidates - before).sum(axis=-1)
        before = np.where((distance[0] <= distance[1])[:, None], candidates[0], candidates[1])
        angles[frame] = before
    return angles
