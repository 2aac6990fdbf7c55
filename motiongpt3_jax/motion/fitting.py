"""Inverse kinematics: joint rotations fitted to joint positions; and forward kinematics back to positions.

A joint turns everything beyond it, relative to its parent in the skeleton's tree. Zero rotations are the T-pose of
`motiongpt3_jax.motion.rest` with the body's own bones. Everything computes in float64.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.motion import rotations
from motiongpt3_jax.motion.kinematics import gaussian_smooth
from motiongpt3_jax.motion.rest import Hint, rest_of
from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton

Bones = Float[np.ndarray, "frames bones 3"]
Turns = Float[np.ndarray, "frames 4"]

CHANGE = 0.01
"""Metres by which bones of recorded people seem to change; those of generated ones may change by more."""

ROUNDS = 5
"""Iterations of generalised Procrustes analysis at a branching joint; it converges after two or three."""

SMOOTHING = 4.0
"""Standard deviation, in frames, of the Gaussian that smooths the hints."""

STRAIGHT = 0.2
"""Sine of the bend, 12 degrees, below which a limb counts as straight and gives no hint."""

UNTURNED = 0.1
"""Weight of not turning about the bone, beside hints of weight up to 1: it decides while a limb is straight."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A skeleton's bone offsets, joint rotations and root translation.

    Attributes:
      offsets: each joint from its parent in the rest pose, metres; zero for the root.
      rotations: unit quaternions of the joints relative to their parents, with signs that follow each other in time.
      root: places of the root, metres.
    """

    offsets: Float[np.ndarray, "joints 3"]
    rotations: Float[np.ndarray, "frames joints 4"]
    root: Float[np.ndarray, "frames 3"]


def fit(joints: Float[np.ndarray, "frames joints 3"], skeleton: Skeleton = HUMANML3D, movable: bool = False) -> Fitted:
    """Inverse kinematics: bone offsets and joint rotations that come closest to positions, from the root outwards.

    Bones get their median lengths. Where several bones leave a joint they turn as one rigid shape, the mean of theirs.
    A single bone does not show how it is turned about itself: knees, elbows, feet and shoulders give the hints in
    `Rest.hints`, and the other joints take the shortest way from their parent. Outermost joints do not turn.

    Args:
      joints: one person, y up, in metres.
      skeleton: which joints these are.
      movable: joints will also be moved, see `local_translations`, so every bone points at where its joint really is.

    Raises:
      UserError: the skeleton has no rest pose.
    """
    joints, rest = np.asarray(joints, np.float64), rest_of(skeleton)
    bones = joints - joints[:, np.maximum(skeleton.parents, 0)]
    offsets = rest.directions() * np.median(np.linalg.norm(bones, axis=-1), axis=0)[:, None]
    identity = np.broadcast_to(np.array([1.0, 0, 0, 0]), (len(joints), 4))
    local = np.tile(identity[:, None], (1, len(offsets), 1))
    world, places = local.copy(), joints.copy()
    for joint, parent in enumerate(skeleton.parents):
        before = world[:, parent] if parent >= 0 else identity
        children = children_of(joint, skeleton)
        # Aiming from where the fitted joint is, not from where it should be, keeps errors from adding up outwards.
        aims = rotations.rotate(rotations.inverse(before)[:, None], joints[:, children] - places[:, joint, None])
        if len(children) > 1:
            offsets[children] = rigid_shape(offsets[children], bones[:, children])
            local[:, joint] = align_bones(offsets[children], aims)
        elif children:
            swing = rotations.between(offsets[children[0]], aims[:, 0])
            hints = [hint for hint in rest.hints if hint.joint == joint]
            twist = estimate_twist(joints, rotations.multiply(before, swing), offsets[children[0]], hints)
            local[:, joint] = rotations.multiply(swing, twist)
        world[:, joint] = rotations.unit(rotations.multiply(before, local[:, joint]))
        if not movable:
            places[:, children] = places[:, joint, None] + rotations.rotate(world[:, joint, None], offsets[children])
    return Fitted(offsets, continuous_signs(local), joints[:, 0].copy())


def forward_kinematics(fitted: Fitted, skeleton: Skeleton = HUMANML3D) -> Float[np.ndarray, "frames joints 3"]:
    """Forward kinematics: joint positions from offsets, rotations and root, metres."""
    joints = np.empty((*fitted.rotations.shape[:-1], 3))
    world = np.empty(fitted.rotations.shape)
    for joint, parent in enumerate(skeleton.parents):
        if parent < 0:
            joints[:, joint], world[:, joint] = fitted.root, fitted.rotations[:, joint]
        else:
            joints[:, joint] = joints[:, parent] + rotations.rotate(world[:, parent], fitted.offsets[joint])
            world[:, joint] = rotations.multiply(world[:, parent], fitted.rotations[:, joint])
    return joints


def local_translations(
    fitted: Fitted, joints: Float[np.ndarray, "frames joints 3"], skeleton: Skeleton = HUMANML3D
) -> Float[np.ndarray, "frames joints 3"]:
    """Local joint translations, in the parents' turned axes, so that these rotations give exactly these joints.

    Where bones keep their lengths these are the body's offsets. The root's are its places.

    Args:
      fitted: how the joints turn.
      joints: where they are, metres.
      skeleton: which joints these are.
    """
    joints = np.asarray(joints, np.float64)
    places, world = joints.copy(), fitted.rotations.copy()
    for joint, parent in enumerate(skeleton.parents):
        if parent >= 0:
            bone = joints[:, joint] - joints[:, parent]
            places[:, joint] = rotations.rotate(rotations.inverse(world[:, parent]), bone)
            world[:, joint] = rotations.multiply(world[:, parent], fitted.rotations[:, joint])
    return places


def bones_change(joints: Float[np.ndarray, "frames joints 3"], skeleton: Skeleton = HUMANML3D) -> bool:
    """Whether bones are not rigid: some length is ever further than `CHANGE` from its median."""
    joints = np.asarray(joints, np.float64)
    lengths = np.linalg.norm(joints - joints[:, np.maximum(skeleton.parents, 0)], axis=-1)
    return bool(np.abs(lengths - np.median(lengths, axis=0)).max() > CHANGE)


def children_of(joint: int, skeleton: Skeleton) -> list[int]:
    """The joints whose bones begin at this one."""
    return [child for child, parent in enumerate(skeleton.parents) if parent == joint]


def align_bones(rest: Float[np.ndarray, "bones 3"], bones: Bones) -> Turns:
    """Kabsch algorithm (by SVD): the rotations that bring bones at rest closest to these in squared distance."""
    # What the bones leave free (they may lie on one line, or have no length) is decided by turning as little as can be.
    covariance = np.einsum("fbi,bj->fij", bones, rest) + 1e-9 * np.eye(3)
    left, _, right = np.linalg.svd(covariance)
    left[..., -1] *= np.sign(np.linalg.det(left @ right))[:, None]
    return rotations.from_matrix(left @ right)


def rigid_shape(rest: Float[np.ndarray, "bones 3"], bones: Bones) -> Float[np.ndarray, "bones 3"]:
    """Generalised Procrustes analysis: the mean rigid shape of turning bones, aligned with the bones at rest."""
    lengths, mean = np.linalg.norm(rest, axis=-1, keepdims=True), rest
    for _ in range(ROUNDS):
        back = rotations.inverse(align_bones(mean, bones))
        mean = rotations.unit(rotations.rotate(back[:, None], bones).mean(axis=0)) * lengths
    return rotations.rotate(align_bones(mean, rest[None]), mean)


def estimate_twist(
    joints: Float[np.ndarray, "frames joints 3"], swing: Turns, bone: Float[np.ndarray, "3"], hints: list[Hint]
) -> Turns:
    """The twist of a swing-twist decomposition: rotations about a bone at rest, before `swing`, that the hints show."""
    axis, evidence, share = rotations.unit(bone), np.zeros((len(joints), 2)), 1.0
    for hint in hints:
        # The line's part at right angles to the bone, in axes of which the first is where it points unturned.
        first = rotations.unit(hint.towards - np.dot(hint.towards, axis) * axis)
        line = rotations.rotate(rotations.inverse(swing), rotations.unit(joints[:, hint.end] - joints[:, hint.start]))
        side = line @ np.stack([first, rotations.cross(axis, first)], axis=-1)
        evidence += hint.weight * side * np.maximum(np.linalg.norm(side, axis=-1, keepdims=True) - STRAIGHT, 0)
        share = hint.share
    evidence = gaussian_smooth(evidence, SMOOTHING)
    half = share * np.arctan2(evidence[:, 1], evidence[:, 0] + UNTURNED)[:, None] / 2
    return rotations.unit(np.concatenate([np.cos(half), np.sin(half) * axis], axis=-1))


def continuous_signs(turns: Float[np.ndarray, "frames joints 4"]) -> Float[np.ndarray, "frames joints 4"]:
    """Quaternion continuity: w >= 0 in the first frame, and no flip of sign from frame to frame."""
    ahead = np.sum(turns[1:] * turns[:-1], axis=-1, keepdims=True) >= 0
    first = np.where(turns[:1, :, :1] < 0, -1.0, 1.0)
    return turns * np.cumprod(np.concatenate([first, np.where(ahead, 1.0, -1.0)]), axis=0)
