"""InterHuman's features and relative transform against numbers of InterGen's own code."""

import json
from collections.abc import Mapping

import numpy as np
import pytest

from motiongpt3_jax.motion import interhuman, mirror_caption
from motiongpt3_jax.motion.ground_pose import wrap_angle
from motiongpt3_jax.motion.interhuman import Body, canonical_features, pair_features, place_of, read_rows, write_rows
from tests.golden import FOLDER, GoldenSet, compare

pytestmark = pytest.mark.golden
ATOL = 5e-6
LONGEST = 300


@pytest.fixture(scope="module")
def numbers() -> Mapping[str, np.ndarray]:
    return GoldenSet(FOLDER.with_name(f"{FOLDER.name}_motionllm"), ()).arrays("interhuman")


def bodies(numbers, pair, kind="raw") -> list[Body]:
    return [read_rows(numbers[f"{pair}_{kind}{person}"]) for person in (1, 2)]


def orders(numbers) -> list[tuple[str, str, list[Body]]]:
    """(prefix, which raw arrays, the two bodies in their order) of every recorded pair."""
    found = []
    for pair in map(str, numbers["pairs"]):
        both = bodies(numbers, pair)
        found.append((f"{pair}_a", pair, both))
        if f"{pair}_b_feat1" in numbers:
            found.append((f"{pair}_b", pair, both[::-1]))
        if f"{pair}_m_feat1" in numbers:
            found.append((f"{pair}_m", pair, bodies(numbers, pair, "mirror")))
    return found


def test_loading(numbers):
    for pair in map(str, numbers["pairs"]):
        if f"{pair}_file1_first8" in numbers:
            rows = numbers[f"{pair}_file1_first8"]
            ours = write_rows(read_rows(rows))
            compare(f"interhuman/{pair}_raw1", ours, numbers[f"{pair}_raw1"][: len(rows)], atol=0, rtol=0)


def test_mirroring(numbers):
    for pair in map(str, numbers["pairs"]):
        for person, body in enumerate(bodies(numbers, pair), 1):
            if f"{pair}_mirror{person}" in numbers:
                name = f"{pair}_mirror{person}"
                compare(f"interhuman/{name}", write_rows(body.mirrored()), numbers[name], atol=0, rtol=0)


def test_features_alone_and_in_the_frame_of_the_first(numbers):
    for name, _, both in orders(numbers):
        frames = 1 + len(numbers[f"{name}_feat1"])  # of longer ones the first ten seconds
        both = [Body(body.joints[:frames], body.rotations[:frames]) for body in both]
        one, two = map(canonical_features, both)
        features, relative = pair_features(*both)
        ours = {
            "feat1": features[0],
            "q1": one.heading,
            "root1": one.root,
            "canon2": two.features,
            "q2": two.heading,
            "root2": two.root,
            "relative": relative,
            "feat2": features[1],
        }
        for key, array in ours.items():
            compare(f"interhuman/{name}_{key}", array, numbers[f"{name}_{key}"], atol=ATOL, rtol=0)
        back = interhuman.apply_relative(relative, features[1], inverse=True)
        compare(f"interhuman/{name}_canon2 (back)", back, numbers[f"{name}_canon2"], atol=ATOL, rtol=0)


def test_the_yaw_is_twice_the_angle_the_other_way_round(numbers):
    for name, _, _ in orders(numbers):
        place = place_of(numbers[f"{name}_relative"])
        off = wrap_angle(place[0] - numbers[f"{name}_yaw2"].astype(np.float64))
        compare(f"interhuman/{name}_yaw2", off, np.zeros(()), atol=ATOL, rtol=0)
        again = place_of(interhuman.relative_of(place))
        np.testing.assert_allclose(again, place, atol=1e-12)


def test_back_to_the_world(numbers):
    for name, pair, both in orders(numbers):
        if not name.endswith("_a"):
            continue
        world = interhuman.features_to_world(pair_features(*both)[0], canonical_features(both[0]))
        for person in (1, 2):
            theirs = numbers[f"{pair}_world_{person}"]
            ours = world[person - 1, : len(theirs)]
            compare(f"interhuman/{pair}_world_{person}", ours, theirs, atol=ATOL, rtol=0)


def official_item(both: list[Body], draws: tuple[float, float]) -> tuple[np.ndarray, int]:
    """What the official data set gives of a pair: both people's rows up to 300, and how many are real."""
    start = 7 if len(both[0].joints) > LONGEST else 0
    both = [Body(body.joints[start:][:LONGEST], body.rotations[start:][:LONGEST]) for body in both]
    features, _ = pair_features(*(both[::-1] if draws[0] > 0.5 else both))
    padded = np.pad(features, ((0, 0), (0, LONGEST - features.shape[1]), (0, 0)))
    return (padded[::-1] if draws[1] > 0.5 else padded), features.shape[1]


def official_mirror_caption(text: str) -> str:
    """The official mirrored text, which says "countercounterclockwise"."""
    text = text.replace("left", "tmp").replace("right", "left").replace("tmp", "right")
    return text.replace("clockwise", "tmp").replace("counterclockwise", "clockwise").replace("tmp", "counterclockwise")


def test_items_of_the_official_data_set(numbers):
    for pair in map(str, numbers["pairs"]):
        items = json.loads(str(numbers[f"{pair}_getitem"]))
        texts, mirrored = json.loads(str(numbers[f"{pair}_texts"]))
        both = bodies(numbers, pair)
        for item in items:
            swapped = bool(item["item"] % 2)
            rows, length = official_item([b.mirrored() for b in both] if swapped else both, tuple(item["draws"]))
            assert length == item["length"]
            assert item["name"].endswith("_swap") == swapped
            assert item["text"] == (mirrored if swapped else texts)[1]
            for person, array in enumerate(rows, 1):
                # Of up to 78,000 numbers of size 1, each right to 5e-6.
                compare(f"interhuman/{pair}_sum{person}", array.sum(), item[f"sum{person}"], atol=0.02, rtol=0)
                compare(f"interhuman/{pair}_abs{person}", np.abs(array).sum(), item[f"abs{person}"], atol=0.02, rtol=0)


def test_mirrored_texts_are_the_official_ones_but_for_what_turns_counterclockwise(numbers):
    for pair in map(str, numbers["pairs"]):
        texts, mirrored = json.loads(str(numbers[f"{pair}_texts"]))
        for text, theirs in zip(texts, mirrored):
            assert official_mirror_caption(text) == theirs
            ours = mirror_caption(text)
            assert ours == theirs or "counterclockwise" in text
            assert "countercounter" not in ours
            assert mirror_caption(ours) == text
