"""The demo over several seeds: what is said of them together, and that all are checked before the first is trained."""

import pytest

from motiongpt3_jax.commands.demo import NAMES, by_action, feet_slide, summary, summary_table
from tests.trained import call


def report(right, actions, counts, skating):
    shares = {name: {"share_right": right} for name in NAMES}
    shares["text_to_motion"] |= {"by_action": actions, "counts": counts}
    return {**shares, "skating": skating, "minutes": {"all": 1.0}}


def test_the_worst_run_and_all_sentences_together_are_told_apart():
    runs = [{"by_action": {"walk": 1.0, "hop": 0.5}, "counts": {"walk": 3, "hop": 4}}]
    runs += [{"by_action": {"walk": 0.0}, "counts": {"walk": 1}}]
    assert by_action(runs) == {"hop": {"worst": 0.5, "together": 0.5}, "walk": {"worst": 0.0, "together": 0.75}}


def test_of_speeds_the_largest_is_the_worst_and_of_shares_the_smallest():
    slow, fast = {"raw": 0.1, "cleaned": 0.0}, {"raw": 0.4, "cleaned": 0.1}
    found = summary([0, 1, 2], [report(*each) for each in (
        (0.9, {"walk": 0.9}, {"walk": 10}, slow),
        (0.7, {"walk": 0.7}, {"walk": 10}, fast),
        (0.8, {"walk": 0.8}, {"walk": 10}, {}),
    )])  # fmt: skip
    assert (found["sides"]["worst"], found["sides"]["middle"]) == (0.7, 0.8)
    assert (found["skating_raw"]["worst"], found["skating_raw"]["middle"]) == (0.4, 0.25)
    assert "weakest action in one run: walk, 70% (runs together: 80%)" in summary_table(found)


def test_where_nothing_should_walk_no_speed_of_feet_is_given():
    assert feet_slide([], []) == {}
    assert "slide" not in summary_table(summary([0], [report(1.0, {"bow": 1.0}, {"bow": 1}, {})]))


@pytest.mark.parametrize(
    ("seeds", "message"), [(("0", "0"), "name each seed once"), (("0", "-1"), "config.seed is -1")]
)
def test_all_seeds_are_checked_before_the_first_is_trained(seeds, message, tmp_path):
    status, out, error = call("demo", "--config", "motiongpt3:test", "--seeds", *seeds, "--out", tmp_path / "runs")
    assert (status, out) == (2, "")
    assert message in error
    assert not (tmp_path / "runs").exists()
