"""InterHuman's two-person representation (Liang et al. 2023, InterGen): 262 features a frame and person, 30 fps.

A row holds, in metres and y up,

    66    places of 22 joints
    66    their displacements to the next frame
    126   rotations of the 21 joints beside the root: the first two columns of the matrix, row by row
    4     whether left ankle, left foot, right ankle, right foot stand on the ground

in one frame for both people: that in which the first one begins at the origin and faces +z. Both stand on the floor,
each for itself, so a difference in height is lost, as there. Files have z up: (frames, 492), of which 62 joints and 51
rotations come from a body model with hands, or (frames, 192), the first 22 joints and 21 rotations.

InterGen's *relative transform* (angle, x, z) places the second person, canonicalised alone, in that frame. Its angle is
half a turn, the other way round: the second person faces -2 times it. `pairs` has the same as a place.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import rotations
from motiongpt3_jax.motion.canonical import to_floor
from motiongpt3_jax.motion.fitting import fit
from motiongpt3_jax.motion.ground_pose import wrap_angle
from motiongpt3_jax.motion.mirror import mirror
from motiongpt3_jax.motion.motion import Motion
from motiongpt3_jax.motion.resample import require_frames, resample_motion
from motiongpt3_jax.motion.saving import check_exportable, paths_per_person, whole_file
from motiongpt3_jax.motion.skeleton import HUMANML3D

FPS = 30.0
"""Frames in a second."""

JOINTS = 22
FEATURES = 262

COLUMNS = {492: 62, 192: JOINTS}
"""Joints in the rows of a file, by its columns; their rotations follow them."""

EXTENSION = ".interhuman.npy"

SLOW = 0.001
"""Square metres: a joint that stands moves by less in a frame, squared."""

LOW = np.array([0.12, 0.05])
"""Metres below which an ankle and a foot stand."""

Joints = Float[np.ndarray, "frames 22 3"]
SixD = Float[np.ndarray, "frames 21 6"]
Relative = Float[np.ndarray, "3"]


class Body(NamedTuple):
    """One person.

    Attributes:
      joints: metres, y up.
      rotations: of the joints beside the root relative to their parents, first two columns of each matrix row by row.
    """

    joints: Joints
    rotations: SixD

    def mirrored(self) -> "Body":
        """The body in the mirror: left and right exchanged."""
        turns = self.rotations[:, HUMANML3D.mirrored[1:] - 1]
        return Body(mirror(self.joints), turns * np.array([1, -1, -1, 1, -1, 1]))


class Canonical(NamedTuple):
    """One person's features, canonicalised alone, and where it was.

    Attributes:
      features: from the origin, facing +z at first.
      heading: quaternion (w, x, y, z) that turned it so.
      root: x, 0, z of its root in frame 0, metres.
    """

    features: Float[np.ndarray, "frames-1 262"]
    heading: Float[np.ndarray, "4"]
    root: Float[np.ndarray, "3"]


def read_rows(array: Float[np.ndarray, "frames columns"]) -> Body:
    """A person from the rows of a file, which have z up.

    Raises:
      UserError: they have another number of columns.
    """
    if array.ndim != 2 or array.shape[1] not in COLUMNS:
        raise UserError(f"a motion of InterHuman has shape {array.shape}; expected (frames, 492).")
    first = 3 * COLUMNS[array.shape[1]]
    x, y, z = np.moveaxis(array[:, : 3 * JOINTS].reshape(-1, JOINTS, 3), -1, 0)
    turns = array[:, first : first + 6 * (JOINTS - 1)].reshape(-1, JOINTS - 1, 6)
    return Body(np.stack([x, z, -y], axis=-1), turns)


def write_rows(body: Body) -> Float[np.ndarray, "frames 192"]:
    """The inverse of `read_rows`, without hands."""
    x, y, z = np.moveaxis(body.joints, -1, 0)
    places = np.stack([x, -z, y], axis=-1)
    return np.concatenate([part.reshape(len(places), -1) for part in (places, body.rotations)], axis=-1)


def canonical_features(body: Body) -> Canonical:
    """Features of one person, canonicalised alone: on the floor, from the origin, its hips facing +z at first.

    Raises:
      UserError: fewer than two frames.
    """
    joints = np.asarray(body.joints, np.float64)
    if len(joints) < 2:
        raise UserError(f"joints have shape {joints.shape}; features hold displacements, which need two frames.")
    right, left = (joints[0, hip] for hip in HUMANML3D.hips)
    across = right - left
    heading = rotations.between([across[2], 0, -across[0]], [0, 0, 1])
    root = joints[0, 0] * [1, 0, 1]
    joints = rotations.rotate(heading, to_floor(joints))
    steps = np.diff(joints, axis=0)
    feet = [list(foot) for foot in HUMANML3D.feet]
    contacts = [(np.square(steps[:, foot]).sum(-1) < SLOW) & (joints[:-1, foot, 1] < LOW) for foot in feet]
    frames = len(steps)
    parts = (joints[:-1], steps, np.asarray(body.rotations)[:-1], np.concatenate(contacts, axis=-1))
    return Canonical(np.concatenate([part.reshape(frames, -1) for part in parts], axis=-1), heading, root)


def relative_transform(first: Canonical, second: Canonical) -> Relative:
    """InterGen's (angle, x, z) of the second person in the frame of the first; the angle is -1/2 of its yaw."""
    turn = rotations.multiply(second.heading, rotations.inverse(first.heading))
    x, _, z = rotations.rotate(first.heading, second.root - first.root)
    return np.array([np.arctan2(turn[2], turn[0]), x, z])


def apply_relative(
    relative: Relative, features: Float[np.ndarray, "frames 262"], inverse: bool = False
) -> Float[np.ndarray, "frames 262"]:
    """Features of the second person in the frame of the first, from its own; or back."""
    yaw = place_of(relative)[0]
    turn = rotations.about_y(-yaw if inverse else yaw)
    away = np.array([relative[1], 0, relative[2]])
    vectors = features[:, : 6 * JOINTS].reshape(len(features), 2, JOINTS, 3)
    places, steps = vectors[:, 0] - away * inverse, vectors[:, 1]
    places, steps = rotations.rotate(turn, places) + away * (not inverse), rotations.rotate(turn, steps)
    moved = np.stack([places, steps], axis=1).reshape(len(features), -1)
    return np.concatenate([moved, features[:, 6 * JOINTS :]], axis=-1)


def pair_features(first: Body, second: Body) -> tuple[Float[np.ndarray, "2 frames-1 262"], Relative]:
    """Features of both people in the frame of the first, and the relative transform."""
    one, two = canonical_features(first), canonical_features(second)
    relative = relative_transform(one, two)
    return np.stack([one.features, apply_relative(relative, two.features)]), relative


def features_to_world(
    features: Float[np.ndarray, "*batch frames 262"], first: Canonical
) -> Float[np.ndarray, "*batch frames 22 3"]:
    """Joints where both people were, but for the heights of their floors, from features in the frame of the first."""
    return rotations.rotate(rotations.inverse(first.heading), features_to_joints(features)) + first.root


def features_to_joints(features: Float[np.ndarray, "*batch frames 262"]) -> Float[np.ndarray, "*batch frames 22 3"]:
    """Joints in the frame of the features."""
    return features[..., : 3 * JOINTS].reshape(*features.shape[:-1], JOINTS, 3)


def place_of(relative: Relative) -> Float[np.ndarray, "3"]:
    """A relative transform as (yaw, x, z): the full angle in radians, by which the second person's hips face."""
    return np.array([wrap_angle(-2 * relative[0]), relative[1], relative[2]])


def relative_of(place: Float[np.ndarray, "3"]) -> Relative:
    """The relative transform of a place, with an angle in [-pi / 2, pi / 2]; that and half a turn more are one."""
    return np.array([-wrap_angle(place[0]) / 2, place[1], place[2]])


def body_of(joints: Joints) -> Body:
    """A person from joints alone: rotations are fitted, and count from the T-pose."""
    turns = rotations.to_matrix(fit(joints).rotations[:, 1:])
    return Body(np.asarray(joints, np.float64), turns[..., :2].reshape(*turns.shape[:-2], 6))


def write_interhuman(path: str | Path, motion: Motion) -> list[Path]:
    """Write features as InterGen's evaluator takes them, at 30 fps, a file a person; they appear at once or not at all.

    Args:
      path: the file; `walk.interhuman.npy` of several persons becomes `walk_1.interhuman.npy` and so on, in the frame
        of the first.
      motion: the motion; a file has a frame less.

    Returns:
      The files.

    Raises:
      UserError: another ending, another skeleton than HumanML3D's, or fewer than two frames.
    """
    paths = paths_per_person(path, EXTENSION, motion.persons)
    check_exportable(path, motion)
    require_frames(motion, FPS)
    bodies = [canonical_features(body_of(joints)) for joints in resample_motion(motion, FPS).joints]
    placed = [apply_relative(relative_transform(bodies[0], body), body.features) for body in bodies]
    for file, features in zip(paths, placed):
        with whole_file(file, EXTENSION) as part:
            np.save(part, features.astype(np.float32), allow_pickle=False)
    return paths
