"""The conversion in both directions against numbers of HumanML3D's own code."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.motion import HUMANML3D, features_to_joints, foot_contacts, joints_to_features, rotations
from motiongpt3_jax.motion.canonical import face_forward, to_floor, uniform_skeleton
from motiongpt3_jax.motion.features import canonical_to_features, relative_joints, root_velocity, yaw_rate
from motiongpt3_jax.motion.kinematics import bone_rotations
from motiongpt3_jax.motion.recover import recover_root
from tests.golden import compare, golden

pytestmark = pytest.mark.golden
MOTIONS = ("real", "pert")


@pytest.fixture(scope="module")
def numbers() -> Mapping[str, np.ndarray]:
    return golden("features")


def double(numbers: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    return numbers[key].astype(np.float64)


def test_target_offsets(numbers):
    ours = HUMANML3D.offsets(numbers["real_joints"][0])
    compare("features/target_offsets", ours, numbers["target_offsets"], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("motion", MOTIONS)
class TestForward:
    def test_uniform_skeleton(self, numbers, motion):
        ours = uniform_skeleton(double(numbers, f"{motion}_joints"), numbers["target_offsets"])
        compare(f"features/{motion}_uniform", ours, numbers[f"{motion}_uniform"], atol=2e-5, rtol=0)

    def test_rotations(self, numbers, motion):
        ours = bone_rotations(double(numbers, f"{motion}_joints"))
        compare(f"features/{motion}_quat_uniform", ours, numbers[f"{motion}_quat_uniform"], atol=1.6e-5, rtol=0)

    def test_place_and_heading(self, numbers, motion):
        ours = face_forward(to_floor(double(numbers, f"{motion}_uniform")))
        compare(f"features/{motion}_global", ours, numbers[f"{motion}_global"], atol=1.2e-5, rtol=0)

    def test_smoothed_rotations(self, numbers, motion):
        ours = bone_rotations(double(numbers, f"{motion}_global"), smooth=True)
        compare(f"features/{motion}_quat_smooth", ours, numbers[f"{motion}_quat_smooth"], atol=2.6e-5, rtol=0)

    def test_6d(self, numbers, motion):
        ours = rotations.to_6d(double(numbers, f"{motion}_quat_smooth"))
        compare(f"features/{motion}_cont6d", ours, numbers[f"{motion}_cont6d"], atol=4.9e-5, rtol=0)

    def test_parts_from_the_recorded_pose(self, numbers, motion):
        joints, heading = double(numbers, f"{motion}_global"), double(numbers, f"{motion}_quat_smooth")[:, 0]
        parts = {
            "rifke": (relative_joints(joints, heading), 1.2e-5),
            "lvel": (root_velocity(joints, heading), 1.2e-6),
            "rot_vel": (yaw_rate(heading), 1.5e-6),
            "contacts": (foot_contacts(joints), 0),
        }
        for name, (ours, atol) in parts.items():
            compare(f"features/{motion}_{name}", ours, numbers[f"{motion}_{name}"], atol=atol, rtol=0)

    def test_features_of_the_recorded_pose(self, numbers, motion):
        ours = canonical_to_features(numbers[f"{motion}_global"])
        compare(f"features/{motion}_features_of_global", ours, numbers[f"{motion}_features"], atol=4.9e-5, rtol=0)

    def test_features_of_the_input(self, numbers, motion):
        ours = joints_to_features(numbers[f"{motion}_joints"], offsets=numbers["target_offsets"])
        compare(f"features/{motion}_features", ours, numbers[f"{motion}_features"], atol=1.2e-4, rtol=0)


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
class TestBack:
    def test_root(self, numbers, xp):
        root = recover_root(xp.asarray(numbers["feats"]))
        compare(f"features/root_quat ({xp.__name__})", root.heading, numbers["root_quat"], atol=1e-6, rtol=1e-6)
        compare(f"features/root_pos ({xp.__name__})", root.position, numbers["root_pos"], atol=1e-6, rtol=1e-6)

    def test_joints(self, numbers, xp):
        ours = features_to_joints(xp.asarray(numbers["feats"]))
        name = f"features/joints_from_feats ({xp.__name__})"
        compare(name, ours, numbers["joints_from_feats"], atol=2.1e-6, rtol=1e-6)

    def test_joints_of_normalised_features(self, numbers, xp):
        raw = xp.asarray(numbers["feats_norm"] * numbers["std"] + numbers["mean"])
        name = f"features/feats2joints_from_norm ({xp.__name__})"
        compare(name, features_to_joints(raw), numbers["feats2joints_from_norm"], atol=2.1e-6, rtol=1e-6)
