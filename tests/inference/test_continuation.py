"""Given frames stay; what is made lies in their place, proportions and frame rate."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from motiongpt3_jax.data_pipelines.procedural import generate
from motiongpt3_jax.inference import continuation
from motiongpt3_jax.inference.folder import MotionStatistics
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.inference.prompts import Prompts
from motiongpt3_jax.motion import HUMANML3D, Motion, canonicalise, features_to_joints, joints_to_features
from motiongpt3_jax.motion.seams import acceleration_limit, seam_acceleration
from motiongpt3_jax.systems.motiongpt3 import MotionOptions
from tests.motion.samples import dance

FAST = {"steps": 2, "guidance_scale": 1.0}


@pytest.fixture(scope="module")
def model(trained):
    return Model.load(trained)


def given(frames, fps=20.0, people=1, size=1.0, seed=0):
    joints = size * dance(frames=frames, people=(people,), seed=seed) + [3.0, 0.5, -2.0]
    return Motion(joints, fps)


def bones(joints):
    return np.linalg.norm(joints - joints[..., [max(p, 0) for p in HUMANML3D.parents], :], axis=-1)


@pytest.mark.parametrize(("fps", "people", "size"), [(20.0, 1, 1.0), (30.0, 2, 1.4), (120.0, 1, 0.7)])
def test_a_prediction_keeps_frames_place_proportions_and_rate(model, fps, people, size):
    start = given(round(1.5 * fps), fps, people, size)
    made, bends = model.predict(start, 4.0, **FAST)
    assert made.fps == fps
    assert made.joints.shape == (people, round(4.0 * fps), 22, 3)
    np.testing.assert_array_equal(made.joints[:, : start.frames], start.joints)
    usual = np.median(bones(start.joints), axis=(0, 1))
    np.testing.assert_allclose(np.median(bones(made.joints[:, start.frames :]), axis=(0, 1)), usual, atol=0.01)
    for person in range(people):
        before, after = made.joints[person, : start.frames], made.joints[person, start.frames :]
        assert seam_acceleration(before, after, None) <= acceleration_limit(before, fps=fps)
    assert len(bends) % people == 0


def test_a_long_prediction_goes_on_from_itself(model):
    start = given(20)
    made, bends = model.predict(start, 25.0, **FAST)
    assert made.frames == 500
    assert len(bends) > 2
    np.testing.assert_array_equal(made.joints[:, :20], start.joints)


def test_a_prediction_starts_where_the_given_frames_lead(model):
    start = given(30)
    made, _ = model.predict(start, 2.0, **FAST)
    steps = np.linalg.norm(np.diff(made.joints[0, :, 0], axis=0), axis=-1)
    assert steps[29] == pytest.approx(steps[28], abs=0.02)


class Knowing:
    """An engine that knows what was recorded, and answers as a model would that was trained to perfection."""

    def __init__(self, rows, offsets):
        body = MotionStatistics(np.zeros(263, np.float32), np.ones(263, np.float32), offsets)
        self.folder, self.window_length, self.rows = SimpleNamespace(statistics=body), len(rows), rows

    def generate_motions(self, questions, frames, seeds, options):
        clips = questions[0].clips
        first = len(clips[0]) if len(clips) == 1 else 0
        return [features_to_joints(self.rows[first : first + frames[0]])]


def test_a_perfect_answer_is_put_where_and_when_it_was_recorded():
    walk = generate(31).joints.astype(np.float64)  # somebody who walks in a crouch, then hops
    offsets = HUMANML3D.offsets(walk)[0]
    recorded = features_to_joints(joints_to_features(canonicalise(walk[:61], HUMANML3D, offsets), HUMANML3D))
    engine = Knowing(joints_to_features(np.concatenate([recorded, recorded[-1:]]), HUMANML3D), offsets)
    start, end = (Motion(recorded[None, part], 20.0) for part in (slice(15), slice(45, 60)))
    made, _ = continuation.predict(engine, Prompts(), start, 55, 0, MotionOptions())
    np.testing.assert_allclose(made.joints[0], recorded[:55], atol=1e-3)
    made, (bend,) = continuation.inbetween(engine, Prompts(), start, end, 30, 0, MotionOptions())
    np.testing.assert_allclose(made.joints[0], recorded[:60], atol=1e-3)
    assert bend.place < 1e-3


def test_a_motion_depends_on_the_given_frames_and_on_the_seed(model):
    start = given(30)
    one, two = (model.predict(start, 3.0, seed=seed, **FAST).motion.joints for seed in (1, 2))
    assert np.abs(one - two).max() > 1e-3
    np.testing.assert_array_equal(one, model.predict(start, 3.0, seed=1, **FAST).motion.joints)
    other = model.predict(given(30, seed=1), 3.0, seed=1, **FAST).motion.joints
    assert np.abs((one - one[:, 29:30])[:, 30:] - (other - other[:, 29:30])[:, 30:]).max() > 1e-3


@pytest.mark.parametrize(("fps", "people"), [(20.0, 1), (50.0, 2)])
def test_both_ends_of_a_gap_stay_and_are_met(model, fps, people):
    start = given(round(fps), fps, people)
    end = replace(given(round(1.2 * fps), fps, people, seed=1), joints=given(round(1.2 * fps), fps, people).joints + 1)
    made, bends = model.inbetween(start, end, 2.0, **FAST)
    middle = round(2.0 * fps)
    assert made.frames == start.frames + middle + end.frames
    np.testing.assert_array_equal(made.joints[:, : start.frames], start.joints)
    np.testing.assert_array_equal(made.joints[:, start.frames + middle :], end.joints)
    for person in range(people):
        before, between, after = np.split(made.joints[person], [start.frames, start.frames + middle])
        limit = acceleration_limit(before, after, fps=fps)
        assert seam_acceleration(before, between, after) <= limit
    assert all(bend.place > 0 and bend.joints.largest > 0 for bend in bends[-people:])


def test_an_end_that_is_moved_keeps_the_floor_and_the_distance_of_its_people(model):
    start = given(30, people=2)
    end = replace(start, joints=start.joints[:, ::-1] + np.array([5.0, 0.7, 0.0]))
    made, bends = model.inbetween(start, end, 1.0, move_end=True, **FAST)
    moved = made.joints[:, 50:]
    assert bends[0].place < 1e-4
    np.testing.assert_allclose(moved[..., 1], start.joints[:, ::-1, :, 1], atol=1e-4)
    apart = [np.linalg.norm(joints[0] - joints[1], axis=-1) for joints in (moved, end.joints)]
    np.testing.assert_allclose(*apart, atol=1e-4)


def test_a_gap_too_long_for_one_answer_is_bridged(model):
    start, end = given(30), given(30, seed=2)
    made, _ = model.inbetween(start, end, 12.0, **FAST)
    assert made.frames == 300
    np.testing.assert_array_equal(made.joints[:, :30], start.joints)
    np.testing.assert_array_equal(made.joints[:, 270:], end.joints)


def test_the_official_protocol_answers_at_full_length_in_the_models_own_place(model):
    for task in ("predict", "inbetween"):
        one, two = model.official(task, [given(41), given(61, people=2)], **FAST)
        assert (one.joints.shape, two.joints.shape) == ((1, 40, 22, 3), (1, 60, 22, 3))
        np.testing.assert_allclose(one.joints[0, 0, 0, ::2], 0, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: m.predict(given(5), 4.0), "the given part lasts 0.25 s, 5 frames; give at least 0.5 s"),
        (lambda m: m.predict(given(40), 1.0), "20 frames were asked for and 40 are given"),
        (lambda m: m.predict(given(40)), "either in seconds or in frames"),
        (lambda m: m.predict(given(40), 61), "61.0 s were asked for; here it is 60.0 s at most"),
        (
            lambda m: m.predict(Motion(dance(frames=2)[None], 0.3), 40.0),
            "0.3 frames a second is too slow",
        ),
        (lambda m: m.inbetween(given(40), given(40, people=2), 1.0), "give both alike"),
        (lambda m: m.inbetween(given(40), given(40), frames=0), "ask for at least one"),
    ],
)
def test_what_cannot_be_done_is_said(model, call, said):
    with pytest.raises(ValueError, match=said):
        call(model)
