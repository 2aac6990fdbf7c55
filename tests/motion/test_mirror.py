import numpy as np
import pytest

from motiongpt3_jax.motion import HUMANML3D, KIT, mirror, mirror_caption
from tests.motion.samples import dance


@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT])
def test_mirroring_twice_gives_the_motion_back(skeleton):
    joints = dance(skeleton, people=(2,))
    np.testing.assert_array_equal(mirror(mirror(joints, skeleton), skeleton), joints)


def test_the_left_wrist_becomes_the_right_one():
    joints = np.zeros((1, 22, 3), np.float32)
    joints[0, 20] = 1, 2, 3
    mirrored = mirror(joints)
    np.testing.assert_array_equal(mirrored[0, [20, 21]], [[0, 0, 0], [-1, 2, 3]])
    assert mirrored.dtype == np.float32


CAPTIONS = [
    ("a man raises his left hand.", "a man raises his right hand."),
    ("Left, then RIGHT; then right-handed", "Right, then LEFT; then left-handed"),
    ("steps leftward and rightwards", "steps rightward and leftwards"),
    ("the leftmost of his lefthanded throws", "the rightmost of his righthanded throws"),
    ("two lefts and a right", "two rights and a left"),
    ("turns clockwise", "turns counterclockwise"),
    ("Counterclockwise he runs, CLOCKWISE he walks", "Clockwise he runs, COUNTERCLOCKWISE he walks"),
    ("stands upright, eats leftovers, bright", "stands upright, eats leftovers, bright"),
    ("all right, a right angle", "all right, a right angle"),
    ("", ""),
]


@pytest.mark.parametrize(("caption", "mirrored"), CAPTIONS)
def test_captions_are_mirrored_there_and_back(caption, mirrored):
    assert mirror_caption(caption) == mirrored
    assert mirror_caption(mirrored) == caption


@pytest.mark.parametrize("word", ["anticlockwise", "anti-clockwise", "counter-clockwise", "counter clockwise"])
def test_every_word_for_counterclockwise_becomes_clockwise(word):
    assert mirror_caption(f"spins {word}.") == "spins clockwise."
