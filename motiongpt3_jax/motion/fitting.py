"""Rotations of the joints fitted to their places, and the places that rotated joints give.

A joint turns everything beyond it, relative to its parent in the skeleton's tree. Zero rotations are the T-pose of
`motiongpt3_jax.motion.rest` with the body's own bones. Everything computes in float64.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.motion import rotations
from motiongpt3_jax.motion.kinematics import smoothed
from motiongpt3_jax.motion.rest import Hint, rest_of
from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton

Bones = Float[np.ndarray, "frames bones 3"]
Turns = Float[np.ndarray, "frames 4"]

CHANGE = 0.01
"""Metres by which bones of recorded people seem to change; those of generated ones may change by more."""

ROUNDS = 5
"""How often the shape of the bones at a branching joint is averaged; it settles after two or three."""

SMOOTHING = 4.0
"""Standard deviation, in frames, of the Gaussian that smooths what hints say."""

STRAIGHT = 0.2
"""Sine of the bend, 12 degrees, below which a limb counts as straight and gives no hint."""

UNTURNED = 0.1
"""Weight of not turning about the bone, beside hints of weight up to 1: it decides while a limb is straight."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A body and how its joints turn.

    Attributes:
      offsets: each joint from its parent in the rest pose, metres; zero for the root.
      rotations: unit quaternions of the joints relative to their parents, with signs that follow each other in time.
      root: places of the root, metres.
    """

    offsets: Float[np.ndarray, "joints 3"]
    rotations: Float[np.ndarray, "frames joints 4"]
    root: Float[np.ndarray, "frames 3"]


def fit(joints: Float[np.ndarray, "frames joints 3"], skeleton: Skeleton = HUMANML3D, movable: bool = False) -> Fitted:
    """The body and the rotations whose joints come closest to these, bone by bone from the root outwards.

    Bones get their median lengths. Where several bones leave a joint they turn as one rigid shape, the mean of theirs.
    A single bone does not show how it is turned about itself: knees, elbows, feet and shoulders give the hints in
    `Rest.hints`, and the other joints take the shortest way from their parent. Outermost joints do not turn.

    Args:
      joints: one person, y up, in metres.
      skeleton: which joints these are.
      movable: joints will also be moved, see `local_places`, so every bone points at where its joint really is.

    Raises:
      UserError: the skeleton has no rest pose.
    """
    joints, rest = np.asarray(joints, np.float64), rest_of(skeleton)
    bones = joints - joints[:, np.maximum(skeleton.parents, 0)]
    offsets = rest.directions() * np.median(np.linalg.norm(bones, axis=-1), axis=0)[:, None]
    still = np.broadcast_to(np.array([1.0, 0, 0, 0]), (len(joints), 4))
    local = np.tile(still[:, None], (1, len(offsets), 1))
    world, places = local.copy(), joints.copy()
    for joint, parent in enumerate(skeleton.parents):
        before = world[:, parent] if parent >= 0 else still
        children = children_of(joint, skeleton)
        # Aiming from where the fitted joint is, not from where it should be, keeps errors from adding up outwards.
        aims = rotations.rotate(rotations.inverse(before)[:, None], joints[:, children] - places[:, joint, None])
        if len(children) > 1:
            offsets[children] = shape(offsets[children], bones[:, children])
            local[:, joint] = aligned(offsets[children], aims)
        elif children:
            swing = rotations.between(offsets[children[0]], aims[:, 0])
            hints = [hint for hint in rest.hints if hint.joint == joint]
            turn = twist(joints, rotations.multiply(before, swing), offsets[children[0]], hints)
            local[:, joint] = rotations.multiply(swing, turn)
        world[:, joint] = rotations.unit(rotations.multiply(before, local[:, joint]))
        if not movable:
            places[:, children] = places[:, joint, None] + rotations.rotate(world[:, joint, None], offsets[children])
    return Fitted(offsets, steady(local), joints[:, 0].copy())


def posed(fitted: Fitted, skeleton: Skeleton = HUMANML3D) -> Float[np.ndarray, "frames joints 3"]:
    """Forward kinematics: the joints of a body that turns in this way, metres."""
    joints = np.empty((*fitted.rotations.shape[:-1], 3))
    world = np.empty(fitted.rotations.shape)
    for joint, parent in enumerate(skeleton.parents):
        if parent < 0:
            joints[:, joint], world[:, joint] = fitted.root, fitted.rotations[:, joint]
        else:
            joints[:, joint] = joints[:, parent] + rotations.rotate(world[:, parent], fitted.offsets[joint])
            world[:, joint] = rotations.multiply(world[:, parent], fitted.rotations[:, joint])
    return joints


def local_places(
    fitted: Fitted, joints: Float[np.ndarray, "frames joints 3"], skeleton: Skeleton = HUMANML3D
) -> Float[np.ndarray, "frames joints 3"]:
    """Each joint from its parent in the parent's turned axes, so that these rotations give exactly these joints.

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
    """Whether some bone's length is ever further than `CHANGE` from its median: the body is not one of rigid bones."""
    joints = np.asarray(joints, np.float64)
    lengths = np.linalg.norm(joints - joints[:, np.maximum(skeleton.parents, 0)], axis=-1)
    return bool(np.abs(lengths - np.median(lengths, axis=0)).max() > CHANGE)


def children_of(joint: int, skeleton: Skeleton) -> list[int]:
    """The joints whose bones begin at this one."""
    return [child for child, parent in enumerate(skeleton.parents) if parent == joint]


def aligned(rest: Float[np.ndarray, "bones 3"], bones: Bones) -> Turns:
    """The rotations that bring bones at rest closest to these in squared distance, so that long ones count more."""
    # What the bones leave free (they may lie on one line, or have no length) is decided by turning as little as can be.
    both = np.einsum("fbi,bj->fij", bones, rest) + 1e-9 * np.eye(3)
    left, _, right = np.linalg.svd(both)
    left[..., -1] *= np.sign(np.linalg.det(left @ right))[:, None]
    return rotations.from_matrix(left @ right)


def shape(rest: Float[np.ndarray, "bones 3"], bones: Bones) -> Float[np.ndarray, "bones 3"]:
    """The rigid shape that bones keep while they turn, turned to lie as closely as it can to the bones at rest."""
    lengths, found = np.linalg.norm(rest, axis=-1, keepdims=True), rest
    for _ in range(ROUNDS):
        back = rotations.inverse(aligned(found, bones))
        found = rotations.unit(rotations.rotate(back[:, None], bones).mean(axis=0)) * lengths
    return rotations.rotate(aligned(found, rest[None]), found)


def twist(
    joints: Float[np.ndarray, "frames joints 3"], swing: Turns, bone: Float[np.ndarray, "3"], hints: list[Hint]
) -> Turns:
    """Rotations about a bone at rest that bring it from `swing` to where the hints, if any, say that it is turned."""
    axis, seen, share = rotations.unit(bone), np.zeros((len(joints), 2)), 1.0
    for hint in hints:
        # The line's part at right angles to the bone, in axes of which the first is where it points unturned.
        first = rotations.unit(hint.towards - np.dot(hint.towards, axis) * axis)
        line = rotations.rotate(rotations.inverse(swing), rotations.unit(joints[:, hint.end] - joints[:, hint.start]))
        side = line @ np.stack([first, rotations.cross(axis, first)], axis=-1)
        seen += hint.weight * side * np.maximum(np.linalg.norm(side, axis=-1, keepdims=True) - STRAIGHT, 0)
        share = hint.share
    seen = smoothed(seen, SMOOTHING)
    half = share * np.arctan2(seen[:, 1], seen[:, 0] + UNTURNED)[:, None] / 2
    return rotations.unit(np.concatenate([np.cos(half), np.sin(half) * axis], axis=-1))


def steady(turns: Float[np.ndarray, "frames joints 4"]) -> Float[np.ndarray, "frames joints 4"]:
    """The same rotations with w >= 0 in the first frame and no change of sign from frame to frame."""
    ahead = np.sum(turns[1:] * turns[:-1], axis=-1, keepdims=True) >= 0
    first = np.where(turns[:1, :, :1] < 0, -1.0, 1.0)
    return turns * np.cumprod(np.concatenate([first, np.where(ahead, 1.0, -1.0)]), axis=0)
