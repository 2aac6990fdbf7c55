"""A model of KIT-ML's joints answers as one of HumanML3D's does, at 12.5 frames a second, and takes motions of both."""

import numpy as np
import pytest

from motiongpt3_jax.data_pipelines.procedural import generate
from motiongpt3_jax.data_pipelines.statistics import statistics
from motiongpt3_jax.inference.folder import MotionStatistics
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.motion import KIT, Motion, joints_to_features, load_motion, save_motion, write_bvh, write_glb
from motiongpt3_jax.motion.convert_skeleton import convert_skeleton
from tests.data_pipelines.kit_ml_folder import kit_motion
from tests.inference.models import exported_model

FAST = {"steps": 1}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    motions = [kit_motion(index).joints[0] for index in range(3)]
    normalisation = statistics([joints_to_features(joints, KIT) for joints in motions], KIT)
    body = MotionStatistics(*normalisation, KIT.offsets(motions[0][0]), KIT, KIT.fps, np.array([24.0, 60.0]))
    place = tmp_path_factory.mktemp("models") / "kit"
    exported_model(place, body=body)
    return Model.load(place)


def walker() -> Motion:
    """Somebody with HumanML3D's joints."""
    return Motion(generate(0).joints[None].astype(np.float32))


def test_a_made_motion_has_kits_joints_in_metres_and_becomes_every_kind_of_file(model, tmp_path):
    motion = model.generate("a person walks forward", 2.0, **FAST)
    assert (motion.skeleton, motion.fps, motion.frames) == (KIT, 12.5, 25)
    legs = KIT.offsets(motion.joints[0])[:, list(KIT.legs)]
    assert 0.2 < np.linalg.norm(legs, axis=-1).sum(axis=-1).mean() < 2
    write_bvh(tmp_path / "a.bvh", motion)
    write_glb(tmp_path / "a.glb", motion)
    for name in ("a.npz", "a.npy"):
        save_motion(tmp_path / name, motion)
        np.testing.assert_allclose(load_motion(tmp_path / name).joints, motion.joints, atol=1e-4)
    assert load_motion(tmp_path / "a.bvh").frames == 25


def test_a_motion_of_humanml3ds_joints_is_captioned_as_its_conversion(model, tmp_path):
    save_motion(tmp_path / "a.npz", walker())
    converted = convert_skeleton(walker(), KIT)
    captions = [model.caption(motion, max_new=4) for motion in (walker(), tmp_path / "a.npz", converted)]
    assert len(set(captions)) == 1


def test_a_bvh_is_continued_with_kits_joints_at_its_own_rate(model, tmp_path):
    write_bvh(tmp_path / "a.bvh", walker())
    given = convert_skeleton(load_motion(tmp_path / "a.bvh"), KIT)
    made = model.predict(tmp_path / "a.bvh", frames=given.frames + 10, **FAST).motion
    assert (made.skeleton, made.fps, made.frames) == (KIT, given.fps, given.frames + 10)
    np.testing.assert_array_equal(made.joints[:, : given.frames], given.joints)


def test_questions_count_seconds_at_the_models_rate(model):
    assert model.prompts.fps == 12.5
