import json
import shutil
import struct
import subprocess

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motiongpt3_jax.motion import HUMANML3D, KIT, Motion
from motiongpt3_jax.motion.fitting import fit, forward_kinematics
from motiongpt3_jax.motion.gltf import write_glb
from tests.motion.real import real_motions
from tests.motion.samples import dance

TYPES = {5126: np.float32, 5121: np.uint8}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}

VALIDATE = """
const { validateBytes } = require('gltf-validator');
const bytes = new Uint8Array(require('fs').readFileSync(process.argv[1]));
validateBytes(bytes).then(report => console.log(JSON.stringify(report.issues)));
"""


class Glb:
    """A file taken apart by the format's own rules."""

    def __init__(self, path):
        data = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", data)
        assert (magic, version, length) == (b"glTF", 2, len(data))
        size, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON"
        self.document = json.loads(data[20 : 20 + size])
        rest, kind = struct.unpack_from("<I4s", data, 20 + size)
        assert (kind, rest, rest % 4) == (b"BIN\0", length - 28 - size, 0)
        self.bytes = data[28 + size :]

    def array(self, number: int) -> np.ndarray:
        accessor = self.document["accessors"][number]
        view = self.document["bufferViews"][accessor["bufferView"]]
        count = accessor["count"] * WIDTHS[accessor["type"]]
        flat = np.frombuffer(self.bytes, TYPES[accessor["componentType"]], count, view["byteOffset"])
        assert flat.nbytes == view["byteLength"]
        rows = flat.reshape(accessor["count"], -1)
        np.testing.assert_array_equal(accessor["min"], rows.min(axis=0))
        np.testing.assert_array_equal(accessor["max"], rows.max(axis=0))
        return rows

    def matrices(self, frame: int) -> np.ndarray:
        """Where every node stands in a frame."""
        nodes = self.document["nodes"]
        moved = {}
        (animation,) = self.document["animations"]
        for channel in animation["channels"]:
            values = self.array(animation["samplers"][channel["sampler"]]["output"])
            moved[channel["target"]["node"], channel["target"]["path"]] = values[frame]
        local = np.tile(np.eye(4), (len(nodes), 1, 1))
        for number, node in enumerate(nodes):
            local[number, :3, 3] = moved.get((number, "translation"), node.get("translation", (0, 0, 0)))
            local[number, :3, :3] = Rotation.from_quat(moved.get((number, "rotation"), (0, 0, 0, 1))).as_matrix()
        world, open_nodes = local.copy(), list(self.document["scenes"][0]["nodes"])
        while open_nodes:
            parent = open_nodes.pop()
            for child in nodes[parent].get("children", ()):
                world[child] = world[parent] @ local[child]
                open_nodes.append(child)
        return world

    def knobs(self, person: int, frame: int | None) -> np.ndarray:
        """The middle of every joint's knob, skinned; without a frame at rest."""
        skin = self.document["skins"][person]
        back = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
        turn = np.linalg.inv(back) if frame is None else self.matrices(frame)[skin["joints"]]
        places = -back[:, :3, 3]
        positions = np.full_like(places, np.nan)
        for primitive in self.document["meshes"][person]["primitives"]:
            attributes = {name: self.array(number) for name, number in primitive["attributes"].items()}
            joints, corners = attributes["JOINTS_0"][:, 0], attributes["POSITION"]
            np.testing.assert_array_equal(attributes["WEIGHTS_0"], np.eye(4)[[0] * len(joints)])
            homogeneous = np.concatenate([corners, np.ones((len(corners), 1))], axis=-1)
            skinned = np.einsum("cij,cjk,ck->ci", turn[joints], back[joints], homogeneous)[:, :3]
            for piece in range(0, len(corners), 24):
                middle, joint = corners[piece : piece + 24].mean(axis=0), joints[piece]
                if np.linalg.norm(middle - places[joint]) < 1e-5:
                    positions[joint] = skinned[piece : piece + 24].mean(axis=0)
        return positions

    def times(self) -> np.ndarray:
        samplers = self.document["animations"][0]["samplers"]
        assert len({sampler["input"] for sampler in samplers}) == 1
        return self.array(samplers[0]["input"])[:, 0]


@pytest.mark.parametrize(
    ("skeleton", "fps", "frames"),
    [(HUMANML3D, 20.0, 9), (KIT, 12.5, 9), (HUMANML3D, 30.0, 1)],
    ids=["humanml3d", "kit", "one frame"],
)
def test_the_skin_stands_where_the_joints_do(tmp_path, skeleton, fps, frames):
    motion = Motion(dance(skeleton, frames, people=(1,)), fps, skeleton)
    write_glb(tmp_path / "walk.glb", motion)
    theirs = Glb(tmp_path / "walk.glb")
    for frame in (0, frames - 1):
        np.testing.assert_allclose(theirs.knobs(0, frame), motion.joints[0, frame], atol=5e-4)
    np.testing.assert_allclose(theirs.times(), np.arange(frames) / fps, rtol=1e-6)


def test_real_motions_are_what_they_were(tmp_path):
    for joints in real_motions("cmu", 70):
        write_glb(tmp_path / "walk.glb", Motion(joints[None]))
        frame = len(joints) // 2
        np.testing.assert_allclose(Glb(tmp_path / "walk.glb").knobs(0, frame), joints[frame], atol=2e-3)


def test_persons_have_bodies_and_names_of_their_own_in_one_animation(tmp_path):
    motion = Motion(dance(people=(2,)))
    write_glb(tmp_path / "walk.glb", motion)
    theirs = Glb(tmp_path / "walk.glb")
    for person, joints in enumerate(motion.joints):
        np.testing.assert_allclose(theirs.knobs(person, 3)[0], joints[3, 0], atol=1e-5)
    names = [node["name"] for node in theirs.document["nodes"]]
    assert len(set(names)) == len(names)
    assert {"left_wrist_1", "left_wrist_2"} < set(names)
    colours = [str(material["pbrMetallicRoughness"]["baseColorFactor"]) for material in theirs.document["materials"]]
    assert len(set(colours)) == 6


def test_at_rest_the_body_stands_on_the_floor_with_its_arms_out(tmp_path):
    write_glb(tmp_path / "walk.glb", Motion(dance(people=(1,))))
    theirs = Glb(tmp_path / "walk.glb")
    rest = theirs.knobs(0, None)
    np.testing.assert_allclose(rest[:, 1].min(), 0, atol=1e-6)
    span = rest[HUMANML3D.joints.index("left_wrist")] - rest[HUMANML3D.joints.index("right_wrist")]
    assert span[0] > 0.99 * np.linalg.norm(span)
    # Without an animation nodes stand as in the rest pose.
    theirs.document["animations"] = [{"channels": []}]
    np.testing.assert_allclose(theirs.knobs(0, 0), rest, atol=1e-6)


def test_every_joint_turns_and_of_a_rigid_body_the_root_alone_moves(tmp_path):
    joints = forward_kinematics(fit(dance(people=(1,))[0]))
    write_glb(tmp_path / "walk.glb", Motion(joints[None]))
    theirs = Glb(tmp_path / "walk.glb")
    targets = [channel["target"] for channel in theirs.document["animations"][0]["channels"]]
    assert sorted(t["node"] for t in targets if t["path"] == "rotation") == theirs.document["skins"][0]["joints"]
    assert [t["node"] for t in targets if t["path"] == "translation"] == [0]
    assert theirs.document["nodes"][0]["name"] == "pelvis"


def test_joints_of_a_body_that_changes_move_as_well(tmp_path):
    joints = dance(people=(1,))
    joints[:, 4:] = joints[:, 4:, :1] + 1.2 * (joints[:, 4:] - joints[:, 4:, :1])
    write_glb(tmp_path / "walk.glb", Motion(joints))
    for frame in (0, 8):
        np.testing.assert_allclose(Glb(tmp_path / "walk.glb").knobs(0, frame), joints[0, frame], atol=1e-5)


def test_faces_look_outwards(tmp_path):
    write_glb(tmp_path / "walk.glb", Motion(dance(people=(1,))))
    theirs = Glb(tmp_path / "walk.glb")
    for primitive in theirs.document["meshes"][0]["primitives"]:
        corners = theirs.array(primitive["attributes"]["POSITION"]).reshape(-1, 8, 3, 3).astype(float)
        normals = theirs.array(primitive["attributes"]["NORMAL"]).reshape(-1, 8, 3, 3)
        wound = np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
        away = corners.mean(axis=2) - corners.mean(axis=(1, 2))[:, None]
        assert (np.sum(wound * away, axis=-1) > 0).all()
        assert (np.sum(wound[:, :, None] * normals, axis=-1) > 0).all()
        np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-6)


def test_bones_without_length_are_left_out(tmp_path):
    joints = dance(people=(1,))
    joints[..., 15, :] = joints[..., 12, :]
    write_glb(tmp_path / "walk.glb", Motion(joints))
    theirs = Glb(tmp_path / "walk.glb")
    assert all(np.isfinite(theirs.array(number)).all() for number in range(len(theirs.document["accessors"])))
    np.testing.assert_allclose(theirs.knobs(0, 4)[15], theirs.knobs(0, 4)[12], atol=1e-5)


def test_another_ending_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"name it 'walk.glb'"):
        write_glb(tmp_path / "walk.gltf", Motion(dance(people=(1,))))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_formats_own_validator_finds_nothing_to_say(tmp_path):
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("no node and npm on this machine: install them to validate glTF")
    install = [npm, "install", "--silent", "--prefix", str(tmp_path), "gltf-validator"]
    if subprocess.run(install, capture_output=True, timeout=120, check=False).returncode:
        pytest.skip("npm cannot install gltf-validator here")
    motions = {
        "one": Motion(dance(people=(1,))),
        "frame": Motion(dance(frames=1, people=(1,))),
        "two": Motion(dance(people=(2,)), 30.0),
        "kit": Motion(dance(KIT, people=(1,)), 12.5, KIT),
        "point": Motion(np.ones((1, 3, 22, 3))),
    }
    for name, motion in motions.items():
        write_glb(tmp_path / f"{name}.glb", motion)
        command = [node, "-e", VALIDATE, str(tmp_path / f"{name}.glb")]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
        report = json.loads(done.stdout)
        assert (report["numErrors"], report["numWarnings"]) == (0, 0), report["messages"]
