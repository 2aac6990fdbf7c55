"""Round-trip error of exported files: how far the joints that a file gives are from the motion's."""

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.motion import rotations
from motiongpt3_jax.motion.amass import EXTENSION, read_amass
from motiongpt3_jax.motion.bvh_parse import parse_bvh
from motiongpt3_jax.motion.bvh_read import tree_forward_kinematics
from motiongpt3_jax.motion.bvh_write import UNIT
from motiongpt3_jax.motion.fitting import bones_change
from motiongpt3_jax.motion.motion import Motion
from motiongpt3_jax.motion.skeleton import Skeleton

NOTED = 0.005
"""Metres of position error of a joint from which an export gets a note."""

Persons = Float[np.ndarray, "persons frames joints 3"]


def export_notes(paths: Sequence[str | Path], motion: Motion) -> tuple[str, ...]:
    """Sentences on joints of `.bvh`, `.glb` and AMASS files that are more than `NOTED` from the motion's.

    Of bodies whose bones change they also say how far joints would be off if only their turns were followed.

    Args:
      paths: what was written of a motion; other kinds give no notes. Several files hold a person each.
      motion: the motion.
    """
    paths, notes = [Path(path) for path in paths], []
    kind = next((kind for kind in _READERS if paths and paths[0].name.lower().endswith(kind)), None)
    if kind is None:
        return ()
    files = [_READERS[kind](path, motion) for path in paths]
    all_exact = np.concatenate([exact for exact, _ in files])
    all_rigid = np.concatenate([rigid for _, rigid in files])
    for number, (joints, exact, rigid) in enumerate(zip(motion.joints, all_exact, all_rigid)):
        name = paths[number] if len(paths) > 1 else paths[0]
        mark = f", person {number + 1}" if len(paths) < motion.persons else ""
        if distance := _distance(joints, exact, motion.skeleton):
            notes.append(f"{name}{mark}: joints are {distance}, since rigid bones cannot follow this body")
        elif bones_change(joints, motion.skeleton) and (distance := _distance(joints, rigid, motion.skeleton)):
            notes.append(
                f"{name}{mark}: the body's bones change, so its joints move as well as turn; by their turns alone they "
                f"would be {distance}"
            )
    return tuple(notes)


def _distance(
    ours: Float[np.ndarray, "frames joints 3"], theirs: Float[np.ndarray, "frames joints 3"], skeleton: Skeleton
) -> str:
    """Mean and largest joint position error in millimetres and where; empty where it is small."""
    away = np.linalg.norm(np.asarray(ours, np.float64) - theirs, axis=-1)
    if away.max() <= NOTED:
        return ""
    frame, joint = np.unravel_index(np.argmax(away), away.shape)
    return (
        f"{1000 * away.mean():.1f} mm off on average and {1000 * away.max():.0f} mm at most "
        f"({skeleton.joints[joint]}, frame {frame})"
    )


def _read_bvh(path: Path, motion: Motion) -> tuple[Persons, Persons]:
    bvh = parse_bvh(path, f"motion '{path}'")
    (tree,), (values,) = bvh.trees, bvh.values
    order = [tree.names.index(name) for name in motion.skeleton.joints]
    inner = [
        tuple(channel.replace("position", "scale") for channel in channels) if parent >= 0 else channels
        for channels, parent in zip(tree.channels, tree.parents)  # scale channels are not followed
    ]
    exact = tree_forward_kinematics(tree, values)[:, order] / UNIT
    rigid = tree_forward_kinematics(replace(tree, channels=inner), values)[:, order] / UNIT
    return exact[None], rigid[None]


def _read_amass(path: Path, motion: Motion) -> tuple[Persons, Persons]:
    with np.load(path, allow_pickle=False) as content:
        joints = read_amass(content, f"motion '{path}'").joints
    return joints, joints


def _read_glb(path: Path, motion: Motion) -> tuple[Persons, Persons]:
    document, array = _open_glb(path)
    nodes, (animation,) = document["nodes"], document["animations"]
    names = {node["name"]: number for number, node in enumerate(nodes)}
    marks = [f"_{person + 1}" if motion.persons > 1 else "" for person in range(motion.persons)]
    animated = {
        (channel["target"]["node"], channel["target"]["path"]): array(animation["samplers"][channel["sampler"]])
        for channel in animation["channels"]
    }

    def forward_kinematics(mark: str, inner: bool) -> np.ndarray:
        joints = np.empty((motion.frames, len(motion.skeleton.joints), 3))
        turns = np.empty((*joints.shape[:-1], 4))
        for joint, parent in enumerate(motion.skeleton.parents):
            number = names[motion.skeleton.joints[joint] + mark]
            rest = np.array(nodes[number]["translation"])
            place = animated.get((number, "translation"), rest) if inner or parent < 0 else rest
            turn = np.roll(animated[number, "rotation"], 1, axis=-1)
            if parent < 0:
                joints[:, joint], turns[:, joint] = place, turn
            else:
                joints[:, joint] = joints[:, parent] + rotations.rotate(turns[:, parent], place)
                turns[:, joint] = rotations.multiply(turns[:, parent], turn)
        return joints

    exact = np.stack([forward_kinematics(mark, inner=True) for mark in marks])
    rigid = np.stack([forward_kinematics(mark, inner=False) for mark in marks])
    return exact, rigid


def _open_glb(path: Path) -> tuple[dict, Callable[[dict], np.ndarray]]:
    """The document of a file that `write_glb` wrote, and what reads the values of a sampler."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<I", data, 12)
    document, start = json.loads(data[20 : 20 + size]), 28 + size

    def array(sampler: dict) -> np.ndarray:
        accessor = document["accessors"][sampler["output"]]
        view = document["bufferViews"][accessor["bufferView"]]
        values = np.frombuffer(data, "<f4", view["byteLength"] // 4, start + view["byteOffset"])
        return values.reshape(accessor["count"], -1).astype(np.float64)

    return document, array


_READERS: dict[str, Callable[[Path, Motion], tuple[Persons, Persons]]] = {
    ".bvh": _read_bvh,
    ".glb": _read_glb,
    EXTENSION: _read_amass,
}
"""What reads a kind of file back: its joints, and those that its turns alone would give, a row for each person."""
