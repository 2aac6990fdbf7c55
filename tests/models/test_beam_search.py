"""Beam search that sets ended texts aside, against one that keeps lists in Python."""

from dataclasses import replace

import numpy as np
import pytest

from tests.models.test_generate_text import CHAIN, END, GREEDY, chain

BEAMS = replace(GREEDY, beams=3, collect_finished=True)


def log_p(scores):
    return scores - np.log(np.exp(scores).sum())


def search(first, options):
    """(text, how many texts were set aside, whether the search ended early)."""
    beams, ended = [((), 0.0)], []
    for step in range(options.max_new):
        further = [
            ((*text, token), total + chance)
            for text, total in beams
            for token, chance in enumerate(log_p(CHAIN[text[-1] if text else first]))
        ]
        further = sorted(further, key=lambda found: -found[1])[: 2 * options.beams]
        power = (step + 1) ** options.length_penalty
        ended += [(t, s / power) for t, s in further[: options.beams] if t[-1] == END]
        ended = sorted(ended, key=lambda found: -found[1])[: options.beams]
        beams = [found for found in further if found[0][-1] != END][: options.beams]
        if len(ended) == options.beams and ended[-1][1] >= further[0][1] / power:
            return ended[0][0], len(ended), True
    whole = ended + [(text, total / options.max_new**options.length_penalty) for text, total in beams]
    return max(whole, key=lambda found: found[1])[0], len(ended), False


@pytest.mark.parametrize("length_penalty", [1.0, 0.0])
def test_texts_are_those_of_a_search_with_lists(length_penalty):
    options = replace(BEAMS, length_penalty=length_penalty)
    found = chain(range(8), options)
    wanted = [search(first, options) for first in range(8)]
    for text, (best, _, _) in zip(found, wanted):
        np.testing.assert_array_equal(text, [*best, *[END] * (options.max_new - len(best))])
    assert sum(count for _, count, _ in wanted) > 0
    if length_penalty == 0.0:
        assert {early for *_, early in wanted} == {True, False}
        assert any(len(best) < options.max_new for best, *_ in wanted)
