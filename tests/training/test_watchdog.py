"""A process leaves when no step ends for too long, unless something slow is announced."""

import pytest

from motiongpt3_jax.statuses import PEER_LOST
from motiongpt3_jax.training.watchdog import Watchdog


class Watched:
    """A watchdog of 100 s with a clock that the test moves, and what this process and another one do."""

    def __init__(self):
        self.now, self.doing, self.others, self.announced, self.ended = 0.0, "device", ["input"], None, []
        self.watchdog = Watchdog(
            "tune", 7, 100, lambda: self.doing, self, lambda: self.now, lambda *end: self.ended.append(end)
        )

    def write(self, doing):
        self.announced = doing

    def read(self):
        return [self.announced, *self.others]

    def after(self, seconds):
        self.now += seconds
        self.watchdog.look()
        return bool(self.ended)


@pytest.fixture
def watched():
    return Watched()


def test_a_process_leaves_once_no_step_ended_for_so_long(watched):
    assert not watched.after(99)
    assert watched.after(2)
    status, sentence = watched.ended[0]
    assert status == PEER_LOST
    assert "no step of stage 'tune' ended in 100 s after step 7" in sentence
    assert "step_timeout" in sentence


def test_every_step_begins_the_time_anew(watched):
    watched.after(99)
    watched.watchdog.step(8)
    assert not watched.after(99)
    assert watched.after(2)


@pytest.mark.parametrize("part", ["start", "compile", "evaluation", "checkpoint", "samples"])
def test_what_is_slow_by_right_does_not_count_whichever_process_does_it(watched, part):
    watched.doing = part
    assert not watched.after(1000)
    assert watched.announced == part
    watched.doing, watched.others = "device", ["device", part]
    assert not watched.after(1000)
    watched.others = ["device", "input"]
    assert not watched.after(99)
    assert watched.after(2)
