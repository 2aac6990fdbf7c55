import numpy as np
import pytest

from motiongpt3_jax.motion import HUMANML3D, canonicalise, canonicalise_pair, join_pair, joints_to_features, mirror
from motiongpt3_jax.motion.ground_pose import GroundPose, ground_poses, wrap_angle
from motiongpt3_jax.motion.kinematics import facing
from motiongpt3_jax.motion.pairs import (
    anchor_pair,
    follow_place,
    inverse_place,
    mirror_place,
    pair_features_to_joints,
    places_over_time,
    relative_place,
)
from tests.motion.samples import dance


@pytest.fixture
def pair():
    joints = dance(people=(2,), frames=30)
    joints[1, ..., 1] += 0.4
    return joints


def poses(joints):
    return ground_poses(joints[:1]), ground_poses(joints[1:])


def test_each_person_is_canonical_and_the_place_is_that_of_the_second_in_the_first_ones_frame(pair):
    canonical, place, _ = canonicalise_pair(pair)
    for ours, body in zip(canonical, pair):
        np.testing.assert_allclose(ours, canonicalise(body), atol=1e-12)
    joined = join_pair(canonical, place)
    yaw, (x, z) = place[0], place[1:]
    np.testing.assert_allclose(joined[1, 0, 0, ::2], [x, z], atol=1e-12)
    turn = facing(joined[1, :1])[0]
    np.testing.assert_allclose(wrap_angle(-2 * np.arctan2(turn[2], turn[0]) - yaw), 0, atol=1e-9)


def test_a_pair_comes_back_to_its_world_with_both_floors(pair):
    np.testing.assert_allclose(join_pair(*canonicalise_pair(pair)), pair, atol=1e-9)


def test_a_pair_on_another_body_comes_back_with_both_proportions(pair):
    pair[1] = pair[1] * 1.3
    offsets = HUMANML3D.offsets(pair[0, 0]) * 0.8
    canonical, place, world = canonicalise_pair(pair, offsets=offsets)
    np.testing.assert_allclose(HUMANML3D.offsets(canonical[:, 0]), np.stack([offsets, offsets]), atol=1e-9)
    back = join_pair(canonical, place, world)
    np.testing.assert_allclose(back, pair, atol=1e-9)
    scale = (0.8 + 0.8 / 1.3) / 2
    np.testing.assert_allclose(place[1:], canonicalise_pair(pair).place[1:] * scale, atol=1e-9)


def test_face_to_face_at_a_metre():
    first = GroundPose(np.array([2.0, 3.0]), np.array(np.pi / 2))
    second = GroundPose(np.array([3.0, 3.0]), np.array(-np.pi / 2))
    place = relative_place(first, second)
    np.testing.assert_allclose([abs(place[0]), *place[1:]], [np.pi, 0, 1], atol=1e-12)
    again = follow_place(first, place)
    np.testing.assert_allclose(again.place, second.place, atol=1e-12)


def test_the_other_order_and_the_mirror(pair):
    place = canonicalise_pair(pair).place
    np.testing.assert_allclose(canonicalise_pair(pair[::-1]).place, inverse_place(place), atol=1e-9)
    np.testing.assert_allclose(canonicalise_pair(mirror(pair)).place, mirror_place(place), atol=1e-9)
    np.testing.assert_allclose(inverse_place(inverse_place(place)), place, atol=1e-12)


def test_features_and_a_place_are_a_pair_again(pair):
    pair[1, ..., 1] -= pair[1, ..., 1].min() - pair[0, ..., 1].min()
    features = joints_to_features(pair)
    canonical, place, _ = canonicalise_pair(pair)
    joined = pair_features_to_joints(*features, place)
    np.testing.assert_allclose(joined, join_pair(canonical, place)[:, :-1], atol=1e-4)


def test_places_over_time_begin_with_the_first_and_are_those_of_the_roots(pair):
    features, place = joints_to_features(pair), canonicalise_pair(pair).place
    places = places_over_time(*features, place, every=10)
    assert places.shape == (3, 3)
    np.testing.assert_allclose(places[0], place, atol=1e-5)
    joined = pair_features_to_joints(*features, place)
    apart = np.linalg.norm(joined[1, ::10, 0, ::2] - joined[0, ::10, 0, ::2], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(places[:, 1:], axis=-1), apart, atol=1e-5)


def test_other_numbers_of_people_are_refused(pair):
    with pytest.raises(ValueError, match=r"shape \(30, 22, 3\); expected \(2, frames, joints, 3\)"):
        canonicalise_pair(pair[0])


def test_a_second_person_that_drifts_is_led_through_its_places(pair):
    places = relative_place(*(GroundPose(p.place[0, ::10], p.yaw[0, ::10]) for p in poses(pair)))
    np.testing.assert_allclose(anchor_pair(pair, places, 10), pair, atol=1e-9)
    drifting = np.stack([pair[0], pair[1] + np.linspace(0, 1, 30)[:, None, None] * [1.0, 0.0, 0.5]])
    led = anchor_pair(drifting, places, 10)
    np.testing.assert_array_equal(led[0], pair[0])
    np.testing.assert_allclose(led[1, ::10], pair[1, ::10], atol=1e-9)
    # A straight drift is taken away whole, but for what comes behind the last place.
    np.testing.assert_allclose(led[1, :21], pair[1, :21], atol=1e-9)
