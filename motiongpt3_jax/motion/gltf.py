"""Write glTF 2.0 as one binary file (.glb), for browsers, Blender and game engines.

A body is a skin of sticks over a tree of joints in T-pose, facing +z, y up, in metres; one animation moves all bodies.
Joints keep our names. They turn, and where turns alone would miss a joint, because bones change or the bones that leave
a joint are no rigid shape, joints move from their parents as well.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.motion.fitting import Fitted, children_of, fit, forward_kinematics, local_translations
from motiongpt3_jax.motion.motion import Motion
from motiongpt3_jax.motion.saving import check_exportable, whole_file
from motiongpt3_jax.motion.skeleton import Skeleton
from motiongpt3_jax.motion.sticks import sticks

# Left, right and middle, one row a person, as linear red, green and blue.
_COLOURS = (
    ((0.776, 0.150, 0.016), (0.019, 0.162, 0.552), (0.042, 0.048, 0.061)),
    ((0.871, 0.371, 0.054), (0.107, 0.434, 0.730), (0.231, 0.089, 0.352)),
    ((0.503, 0.089, 0.045), (0.021, 0.065, 0.305), (0.021, 0.216, 0.122)),
)

STILL = 0.0005
"""Metres by which a joint may be off without being moved."""

_SIDES = ("left", "right", "middle")

_FLOAT = 5126
"""glTF component type FLOAT."""

_BYTE = 5121
"""glTF component type UNSIGNED_BYTE."""

_VERTICES = 34962
"""glTF buffer view target ARRAY_BUFFER."""

_KINDS = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
"""glTF accessor types, by the width of a row."""


def write_glb(path: str | Path, motion: Motion) -> None:
    """Write a motion as .glb; the file appears at once or not at all.

    Args:
      path: the file.
      motion: the motion, of any number of persons.

    Raises:
      UserError: another ending, or a motion that such a file cannot hold.
    """
    check_exportable(path, motion)
    with whole_file(path, ".glb") as part:
        scene = _Scene(motion.frames, motion.fps)
        for person, joints in enumerate(motion.joints):
            mark = f"_{person + 1}" if motion.persons > 1 else ""
            scene.add_body(joints, motion.skeleton, mark, _COLOURS[person % len(_COLOURS)])
        part.write_bytes(scene.to_bytes())


class _Scene:
    """A glTF document that grows, and the bytes it points into."""

    def __init__(self, frames: int, fps: float) -> None:
        self._bytes = bytearray()
        self._animation: dict[str, Any] = {"name": "motion", "channels": [], "samplers": []}
        self._document: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "motiongpt3_jax"},
            "scene": 0,
            "scenes": [{"nodes": []}],
            "nodes": [],
            "meshes": [],
            "materials": [],
            "skins": [],
            "animations": [self._animation],
            "accessors": [],
            "bufferViews": [],
        }
        self._times = self._array(np.arange(frames)[:, None] / fps)

    def add_body(
        self,
        joints: Float[np.ndarray, "frames joints 3"],
        skeleton: Skeleton,
        mark: str,
        colours: tuple[tuple[float, ...], ...],
    ) -> None:
        """A person: joints, sticks and movement.

        Args:
          joints: where they are, metres.
          skeleton: which joints these are.
          mark: what tells the person's names from those of others.
          colours: of the left, the right and the middle.
        """
        fitted = fit(joints, skeleton, movable=True)
        local = local_translations(fitted, joints, skeleton)
        moves = np.linalg.norm(local - fitted.offsets, axis=-1).max(axis=0) > STILL
        still = np.tile([1.0, 0, 0, 0], (1, len(fitted.offsets), 1))
        places = forward_kinematics(Fitted(fitted.offsets, still, np.zeros((1, 3))), skeleton)[0]
        # In the rest pose it stands on the floor below where it begins.
        places += fitted.root[0] * [1, 0, 1] - [0, places[:, 1].min(), 0]
        nodes = self._document["nodes"]
        first = len(nodes)
        for joint, parent in enumerate(skeleton.parents):
            offset = places[joint] - (places[parent] if parent >= 0 else 0)
            node = {"name": skeleton.joints[joint] + mark, "translation": offset.tolist()}
            children = [first + child for child in children_of(joint, skeleton)]
            nodes.append({**node, "children": children} if children else node)
            self._animate(first + joint, "rotation", np.roll(fitted.rotations[:, joint], -1, axis=-1))
            if parent < 0 or moves[joint]:
                self._animate(first + joint, "translation", local[:, joint])
        back = np.tile(np.eye(4), (len(places), 1, 1))
        back[:, 3, :3] = -places  # matrices are stored column after column
        skin = {"name": f"body{mark}", "inverseBindMatrices": self._array(back.reshape(-1, 16)), "skeleton": first}
        self._document["skins"].append({**skin, "joints": list(range(first, len(nodes)))})
        mesh = {"name": f"sticks{mark}", "primitives": self._sticks(places, skeleton, mark, colours)}
        self._document["meshes"].append(mesh)
        bodies = len(self._document["skins"])
        # A node over each tree: Blender would join trees that stand side by side in one armature.
        nodes.append({"name": f"body{mark}", "children": [first]})
        nodes.append({"name": f"sticks{mark}", "mesh": bodies - 1, "skin": bodies - 1})
        self._document["scenes"][0]["nodes"] += [len(nodes) - 2, len(nodes) - 1]

    def to_bytes(self) -> bytes:
        """The whole file: a header, the document and the bytes."""
        self._document["buffers"] = [{"byteLength": len(self._bytes)}]
        text = json.dumps(self._document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        chunks = [(text, b"JSON"), (bytes(self._bytes), b"BIN\0")]
        body = b"".join(struct.pack("<I4s", len(data), kind) + data for data, kind in chunks)
        return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body

    def _sticks(
        self, places: np.ndarray, skeleton: Skeleton, mark: str, colours: tuple[tuple[float, ...], ...]
    ) -> list[dict[str, Any]]:
        left = {left for left, _ in skeleton.sides}
        right = {right for _, right in skeleton.sides}
        middle = set(range(len(places))) - left - right
        primitives = []
        for side, colour, part in zip(_SIDES, colours, sticks(places, skeleton, (left, right, middle))):
            surface = {"baseColorFactor": [*colour, 1], "metallicFactor": 0, "roughnessFactor": 0.7}
            self._document["materials"].append({"name": side + mark, "pbrMetallicRoughness": surface})
            joints, weights = np.zeros((2, len(part.joints), 4))
            joints[:, 0], weights[:, 0] = part.joints, 1
            attributes = {
                "POSITION": self._array(part.positions, target=_VERTICES),
                "NORMAL": self._array(part.normals, target=_VERTICES),
                "JOINTS_0": self._array(joints, _BYTE, _VERTICES),
                "WEIGHTS_0": self._array(weights, target=_VERTICES),
            }
            primitives.append({"attributes": attributes, "material": len(self._document["materials"]) - 1})
        return primitives

    def _animate(self, node: int, path: str, values: np.ndarray) -> None:
        samplers = self._animation["samplers"]
        self._animation["channels"].append({"sampler": len(samplers), "target": {"node": node, "path": path}})
        samplers.append({"input": self._times, "output": self._array(values)})

    def _array(self, values: np.ndarray, kind: int = _FLOAT, target: int | None = None) -> int:
        """Append rows of numbers; returns their accessor's number."""
        rows = values.astype(np.uint8 if kind == _BYTE else np.float32)
        views, accessors = self._document["bufferViews"], self._document["accessors"]
        view = {"buffer": 0, "byteOffset": len(self._bytes), "byteLength": rows.nbytes}
        views.append(view if target is None else {**view, "target": target})
        self._bytes += rows.tobytes() + b"\0" * (-rows.nbytes % 4)
        bounds = {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        shape = {"count": len(rows), "type": _KINDS[rows.shape[1]], **bounds}
        accessors.append({"bufferView": len(views) - 1, "componentType": kind, **shape})
        return len(accessors) - 1
