import numpy as np
import pytest

from motiongpt3_jax.motion import KIT, Motion
from motiongpt3_jax.motion.oddities import oddities
from tests.motion.bvh_files import standing
from tests.motion.real import real_motions

BODY = np.repeat(standing()[None, None], 9, axis=1)


def test_a_body_that_stands_is_not_odd():
    assert oddities(Motion(BODY)) == ()


@pytest.mark.parametrize("unit", [100, 1000, 0.01, 0])
def test_legs_of_no_human_length_are_said(unit):
    assert "legs of" in oddities(Motion(unit * BODY))[0]


@pytest.mark.parametrize("turned", [BODY[..., [0, 2, 1]], BODY[..., [1, 0, 2]], -BODY])
def test_a_body_along_another_axis_is_said(turned):
    assert oddities(Motion(turned)) == (
        "the body lies or hangs: y is taken for the vertical axis; turn the joints if another one is",
    )


def test_joints_of_another_skeleton_have_legs_too():
    joints = np.zeros((1, 3, 21, 3))
    joints[..., 4, 1], joints[..., [16, 17, 18, 19, 20], 1] = 1.6, np.array([0.9, 0.5, 0.1, 0.0, 0.0])
    assert oddities(Motion(joints, 12.5, KIT)) == ()


@pytest.mark.parametrize("part", ["cmu", "bandai"])
def test_people_are_not_odd(part):
    found = [oddities(Motion(clip[None])) for clip in real_motions(part, 20)]
    assert not any("legs" in note for notes in found for note in notes)
    assert sum(map(bool, found)) <= 0.02 * len(found)
