"""Relative pose of two people (SE(2)): each canonicalised alone, the second placed in the frame of the first.

A *place* is (yaw, x, z): where the second person stands, in a frame in which the first one stands at the origin and
faces +z, in metres, and the direction (sin yaw, cos yaw) along x and z in which the second one faces, in radians of a
full turn. With the two canonical motions and the place in frame 0 a pair is known up to where it is in the world.

Two canonical motions are floored one by one, and may have taken on another body. `World` keeps what that takes away.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.canonical import canonicalise, face_forward, leg_scale, to_floor, uniform_skeleton
from motiongpt3_jax.motion.features import Features
from motiongpt3_jax.motion.ground_pose import GroundPose, ground_poses, move_to_pose, wrap_angle
from motiongpt3_jax.motion.kinematics import Offsets
from motiongpt3_jax.motion.recover import features_to_joints, recover_root
from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton

Pair = Float[np.ndarray, "2 frames joints 3"]
Place = Float[np.ndarray, "*batch 3"]

ORIGIN = GroundPose(np.zeros(2), np.zeros(()))
"""Where a canonical motion begins."""


class World(NamedTuple):
    """What is lost when a pair is canonicalised.

    Attributes:
      pose: of the first person in frame 0.
      floors: height of the lowest point of each person, metres.
      offsets: bones of each person, see `Skeleton.offsets`; None where the canonical motions have them still.
      scale: of the place: what became of a metre between the two.
    """

    pose: GroundPose = ORIGIN
    floors: tuple[float, float] = (0.0, 0.0)
    offsets: Float[np.ndarray, "2 joints 3"] | None = None
    scale: float = 1.0


class CanonicalPair(NamedTuple):
    """Two people in canonical form.

    Attributes:
      joints: each on the floor, from the origin, facing +z at first.
      place: of the second person in the frame of the first, in frame 0.
      world: how to get back.
    """

    joints: Pair
    place: Float[np.ndarray, "3"]
    world: World


def canonicalise_pair(joints: Pair, skeleton: Skeleton = HUMANML3D, offsets: Offsets | None = None) -> CanonicalPair:
    """Canonicalise two people, each alone, and keep their relative pose.

    Args:
      joints: both, in one world.
      skeleton: which joints these are.
      offsets: bones of the target body, see `Skeleton.offsets`; without them both keep their proportions. The
        distance between the two scales with their legs, by the mean of both, so that hands that meet still do.

    Raises:
      UserError: they are not two.
    """
    joints = _require_two(joints)
    poses = ground_poses(joints[:, 0:1], skeleton)
    first, second = (GroundPose(poses.place[person, 0], poses.yaw[person, 0]) for person in range(2))
    scale = 1.0 if offsets is None else float(leg_scale(joints, offsets, skeleton).mean())
    world = World(
        first,
        tuple(joints[..., 1].min(axis=(-2, -1)).tolist()),
        None if offsets is None else skeleton.offsets(joints[:, 0]),
        scale,
    )
    place = relative_place(first, second) * [1, scale, scale]
    return CanonicalPair(canonicalise(joints, skeleton, offsets), place, world)


def join_pair(joints: Pair, place: Place, world: World | None = None, skeleton: Skeleton = HUMANML3D) -> Pair:
    """Two people in one world from their canonical motions: the inverse of `canonicalise_pair`.

    Args:
      joints: the canonical motions.
      place: of the second person in the frame of the first, in frame 0.
      world: whose floors, bodies and place in the world they get; by default the first one stays at the origin.
      skeleton: which joints these are.
    """
    joints, world = _require_two(joints), world or World()
    if world.offsets is not None:
        bodies = [uniform_skeleton(body, own, skeleton) for body, own in zip(joints, world.offsets)]
        joints = np.stack([face_forward(to_floor(body), skeleton) for body in bodies])
    second = follow_place(world.pose, np.asarray(place) / [1, world.scale, world.scale])
    placed = [move_to_pose(body, ORIGIN, pose) for body, pose in zip(joints, (world.pose, second))]
    return np.stack(placed) + np.array(world.floors)[:, None, None, None] * [0, 1, 0]


def relative_place(first: GroundPose, second: GroundPose) -> Place:
    """Relative pose: the place of the second in the frame of the first, of any number of frames."""
    away = np.asarray(second.place) - np.asarray(first.place)
    x, z = _turn(away, -np.asarray(first.yaw))
    return np.stack([wrap_angle(np.asarray(second.yaw) - first.yaw), x, z], axis=-1)


def follow_place(first: GroundPose, place: Place) -> GroundPose:
    """Pose composition: where somebody at a place in the frame of `first` is."""
    place = np.asarray(place)
    away = np.stack(_turn(place[..., 1:], np.asarray(first.yaw)), axis=-1)
    return GroundPose(first.place + away, first.yaw + place[..., 0])


def inverse_place(place: Place) -> Place:
    """The place of the first in the frame of the second: what becomes of a place when the two change their order."""
    place = np.asarray(place)
    x, z = _turn(-place[..., 1:], -place[..., 0])
    return np.stack([wrap_angle(-place[..., 0]), x, z], axis=-1)


def mirror_place(place: Place) -> Place:
    """The place in the mirror that `mirror` is."""
    return np.asarray(place) * [-1, -1, 1]


def pair_features_to_joints(
    first: Features, second: Features, place: Place, skeleton: Skeleton = HUMANML3D
) -> Float[np.ndarray, "2 frames joints 3"]:
    """Joints of two people, in the frame of the first, from their raw features and the place in frame 0."""
    return join_pair(features_to_joints(np.stack([first, second]), skeleton), place, skeleton=skeleton)


def places_over_time(
    first: Features, second: Features, place: Place, every: int, skeleton: Skeleton = HUMANML3D
) -> Float[np.ndarray, "times 3"]:
    """Relative poses of frame 0 and each `every`th after it, along the paths of the roots in both people's features.

    Args:
      first: raw features of the first person.
      second: those of the second.
      place: of the second person in the frame of the first, in frame 0.
      every: frames from one to the next.
      skeleton: which joints these are.
    """
    poses = []
    for features, start in ((first, ORIGIN), (second, follow_place(ORIGIN, place))):
        heading, position = recover_root(features[None], skeleton)
        yaw = -2 * np.arctan2(heading[0, ::every, 2], heading[0, ::every, 0])
        poses.append(follow_place(start, np.stack([yaw, *position[0, ::every, ::2].T], axis=-1)))
    return relative_place(*poses)


def anchor_pair(joints: Pair, places: Float[np.ndarray, "times 3"], every: int, skeleton: Skeleton = HUMANML3D) -> Pair:
    """Correct the drift of a second person: it is led through its places at frame 0 and each `every`th after it.

    Between them the correction, a rigid transform on the floor a frame, is interpolated; behind the last it stays.

    Args:
      joints: both, in one world.
      places: of the second person in the frame of the first.
      every: frames from one to the next.
      skeleton: which joints these are.
    """
    joints = _require_two(joints)
    poses = [ground_poses(person, skeleton) for person in joints]
    times = np.arange(len(places)) * every
    first, second = (GroundPose(pose.place[times], pose.yaw[times]) for pose in poses)
    goal = follow_place(first, places)
    frames = np.arange(joints.shape[1])
    steps = [np.interp(frames, times, step) for step in (goal.place - second.place).T]
    turns = np.interp(frames, times, np.unwrap(wrap_angle(goal.yaw - second.yaw)))
    wanted = GroundPose(poses[1].place + np.stack(steps, axis=-1), poses[1].yaw + turns)
    return np.stack([joints[0], move_to_pose(joints[1], poses[1], wanted)])


def _turn(
    vector: Float[np.ndarray, "*batch 2"], yaw: Float[np.ndarray, "*batch"]
) -> tuple[Float[np.ndarray, "*batch"], Float[np.ndarray, "*batch"]]:
    """Rotate (x, z) about the vertical."""
    x, z, cos, sin = vector[..., 0], vector[..., 1], np.cos(yaw), np.sin(yaw)
    return x * cos + z * sin, z * cos - x * sin


def _require_two(joints: Pair) -> Pair:
    joints = np.asarray(joints, np.float64)
    if joints.ndim != 4 or len(joints) != 2:
        raise UserError(f"a pair has joints of shape {joints.shape}; expected (2, frames, joints, 3): two people.")
    return joints
