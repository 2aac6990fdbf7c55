"""Read BVH (Biovision motion capture) of any tool, whatever its skeleton, channels, rate, unit and vertical axis.

A file holds trees of joints, each with its place from its parent and the channels that move it, and a row of angles
(degrees) and places for every frame. Every tree that is a body becomes a person.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import rotations
from motiongpt3_jax.motion.bvh_parse import Tree, parse_bvh
from motiongpt3_jax.motion.joint_mapping import load_mapping, to_y_up
from motiongpt3_jax.motion.joint_names import match_joints
from motiongpt3_jax.motion.joint_tree import JointTree
from motiongpt3_jax.motion.motion import Motion
from motiongpt3_jax.motion.oddities import feet_to_head, oddities
from motiongpt3_jax.motion.units import likeliest_unit

SAMPLES = 8
"""Frames in which joints that always lie at one place are looked for."""


def read_bvh(
    path: str | os.PathLike[str], mapping: str | os.PathLike[str] | Mapping[str, Any] | None = None
) -> tuple[Motion, tuple[str, ...]]:
    """Read HumanML3D's joints from a BVH file, a person for each of its bodies.

    Where somebody stands and faces stays as the file has it.

    Args:
      path: the file.
      mapping: what its joints are called where names do not tell, its unit and its vertical axis: a JSON
        file or a dictionary, see `joint_mapping`.

    Returns:
      The motion at the file's own rate, and sentences on what was guessed and what is odd.

    Raises:
      FileNotFoundError: there is no such file.
      UserError: it is no BVH file, is cut off, or lacks joints; the message says where and what to do.
    """
    path, what = Path(path), f"motion '{path}'"
    if not path.is_file():
        raise FileNotFoundError(f"{what} {'is a folder' if path.is_dir() else 'does not exist'}; give a .bvh file.")
    mapping = load_mapping(mapping)
    bvh = parse_bvh(path, what)
    bodies, rests, errors, notes = [], [], [], list(bvh.notes)
    for tree, columns in zip(bvh.trees, bvh.values):
        joints = tree_forward_kinematics(tree, columns)
        samples = joints[np.unique(np.linspace(0, len(joints) - 1, SAMPLES).astype(int))]
        try:
            weights, match_notes = match_joints(
                JointTree(tuple(tree.names), tuple(tree.parents), samples), mapping, what
            )
        except UserError as error:
            errors.append(error)
            notes.append(f"'{tree.names[0]}' is no body and is left out")
            continue
        bodies.append(weights @ joints)
        rests.append(weights @ _rest_pose(tree))
        notes += [note for note in match_notes if note not in notes]
    if not bodies:
        raise errors[0]
    joints = np.stack(bodies)
    if "unit" in mapping:
        joints = joints * mapping["unit"]
    else:
        try:
            metres, unit_note = likeliest_unit(joints)
        except UserError as error:
            raise UserError(f"{what}: {error}") from None
        joints = joints * metres
        notes.append(unit_note)
    up = mapping.get("up") or vertical_axis(joints, rests[0])
    motion = Motion(to_y_up(joints, up, mapping.get("mirrored", False)), bvh.fps)
    if up == "z" and "up" not in mapping:
        notes.append("z is taken for the vertical axis, from the bodies' own")
    return motion, (*notes, *oddities(motion, mapping))


def tree_forward_kinematics(
    tree: Tree, values: Float[np.ndarray, "frames channels"]
) -> Float[np.ndarray, "frames file_joints 3"]:
    """Forward kinematics of a BVH hierarchy: global positions of all joints, in the file's unit.

    A place channel stands for the joint's offset, as the tools of the field write it.
    """
    frames, count = len(values), len(tree.names)
    local = np.broadcast_to(np.array(tree.offsets), (frames, count, 3)).copy()
    turns = [np.broadcast_to(np.array([1.0, 0, 0, 0]), (frames, 4))] * count
    column = 0
    for joint, channels in enumerate(tree.channels):
        for channel in channels:
            axis = "xyz".index(channel[0])
            if channel.endswith("position"):
                local[:, joint, axis] = values[:, column]
            elif channel.endswith("rotation"):
                half = np.radians(values[:, column]) / 2
                turn = np.zeros((frames, 4))
                turn[:, 0], turn[:, 1 + axis] = np.cos(half), np.sin(half)
                turns[joint] = rotations.multiply(turns[joint], turn)
            column += 1
    local += _missing_offsets(tree, local)
    joints = np.empty((frames, count, 3))
    for joint, parent in enumerate(tree.parents):
        if parent < 0:
            joints[:, joint] = local[:, joint]
        else:
            joints[:, joint] = joints[:, parent] + rotations.rotate(turns[parent], local[:, joint])
            turns[joint] = rotations.multiply(turns[parent], turns[joint])
    return joints


def _missing_offsets(tree: Tree, local: np.ndarray) -> np.ndarray:
    """Detect position channels that are relative to OFFSET, as a few tools write them, and what to add to them."""
    offsets = np.array(tree.offsets)
    has_position = [any(channel.endswith("position") for channel in channels) for channels in tree.channels]
    inner = np.array(has_position) & (np.array(tree.parents) >= 0) & (np.linalg.norm(offsets, axis=1) > 0)
    from_offset = np.linalg.norm(local - offsets, axis=-1).mean(axis=0)
    from_parent = np.linalg.norm(local, axis=-1).mean(axis=0)
    if inner.any() and np.mean(from_parent[inner] < from_offset[inner]) > 0.5:
        return offsets * inner[:, None]
    return np.zeros_like(offsets)


def vertical_axis(joints: Float[np.ndarray, "persons frames 22 3"], rest: Float[np.ndarray, "22 3"]) -> str:
    """Infer the up axis, y or z: z where the bodies stand along it, but for those that only lie so."""
    _, y, z = feet_to_head(joints).mean(axis=(0, 1))
    if z <= max(y, 0.5):
        return "y"
    if feet_to_head(rest)[1] > 0.7:
        # At rest it stands along y: its root is turned, or it lies, on what is at height 0.
        low = np.abs(np.median(joints.min(axis=-2), axis=(0, 1)))
        return "y" if low[1] < min(low[2], 0.1) else "z"
    return "z"


def _rest_pose(tree: Tree) -> np.ndarray:
    """Places of the file's joints in the rest pose."""
    places = np.zeros((len(tree.names), 3))
    for joint, (parent, offset) in enumerate(zip(tree.parents, tree.offsets)):
        places[joint] = np.array(offset) + (places[parent] if parent >= 0 else 0)
    return places
