"""Which token comes next: scores, draws, continuations of beams."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.systems.motiongpt3 import TextOptions
from motiongpt3_jax.systems.motiongpt3.choosing import best_continuations, best_id, drawn, next_scores, tempered

DRAWN = TextOptions(end=0, temperature=1.0)
CHANCES = np.array([[0.3, 0.05, 0.5, 0.15]])


def test_scores_of_written_ids_are_penalised_and_banned_ones_never_win():
    logits = jnp.array([[2.0, -2.0, 4.0, 9.0, 5.0, -jnp.inf]])
    seen = jnp.array([[True, True, False, False, False]])
    found = next_scores(logits, seen, TextOptions(end=0, banned=(3,), repetition_penalty=2.0))
    np.testing.assert_allclose(found, [[1.0, -4.0, 4.0, -jnp.inf, 5.0]])


def test_the_first_of_equally_good_ids_is_the_best():
    scores = jnp.array([[1.0, 3.0, 3.0, -jnp.inf], [2.0, -1.0, 2.0, 0.0]])
    np.testing.assert_array_equal(best_id(scores), [1, 0])


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({}, [0, 1, 2, 3]),
        ({"top_p": 0.05}, [2]),
        ({"top_p": 0.49}, [2]),
        ({"top_p": 0.51}, [0, 2]),
        ({"top_p": 0.79}, [0, 2]),
        ({"top_p": 0.81}, [0, 2, 3]),
        ({"top_p": 0.96}, [0, 1, 2, 3]),
        ({"temperature": 0.5, "top_p": 0.68}, [2]),
        ({"temperature": 0.5, "top_p": 0.69}, [0, 2]),
    ],
    ids=str,
)
def test_the_fewest_best_ids_whose_tempered_chances_reach_top_p_stay(limits, kept):
    options = replace(DRAWN, **limits)
    found = np.asarray(tempered(jnp.log(CHANCES) - 0.1, options))[0]
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(found)), kept)
    powers = CHANCES[0, kept] ** (1 / options.temperature)
    np.testing.assert_allclose(jax.nn.softmax(found)[jnp.array(kept)], powers / powers.sum(), rtol=1e-5)


def test_top_p_of_many_ids_is_that_of_sorting_them():
    scores = jax.random.normal(jax.random.key(0), (3, 2000)) * jnp.array([[1.0], [4.0], [12.0]])
    found = np.isfinite(tempered(scores, replace(DRAWN, top_p=0.9)))
    chances = np.asarray(jax.nn.softmax(scores), np.float64)
    order = np.argsort(-chances, axis=1)
    before = np.cumsum(np.take_along_axis(chances, order, axis=1), axis=1) - np.take_along_axis(chances, order, axis=1)
    np.testing.assert_array_equal(np.take_along_axis(found, order, axis=1), before < 0.9)


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({}, [0, 1, 2, 3]),
        ({"temperature": 2.0}, [0, 1, 2, 3]),
        ({"top_k": 2}, [0, 2]),
        ({"top_k": 9}, [0, 1, 2, 3]),
        ({"top_p": 0.7}, [0, 2]),
        ({"top_k": 2, "top_p": 0.62}, [2]),
        ({"top_k": 2, "top_p": 0.63}, [0, 2]),
        ({"top_k": 3, "top_p": 0.85}, [0, 2, 3]),
    ],
    ids=str,
)
def test_ids_are_drawn_with_the_chances_that_stay(limits, kept):
    options, count = replace(DRAWN, **limits), 4000
    scores = jnp.log(jnp.asarray(CHANCES)).repeat(count, axis=0)
    found = np.bincount(drawn(scores, jnp.arange(count), 3, options), minlength=4) / count
    wanted = np.zeros(4)
    wanted[kept] = CHANCES[0, kept] ** (1 / options.temperature)
    wanted /= wanted.sum()
    assert (found[wanted == 0] == 0).all()
    np.testing.assert_array_less(abs(found - wanted), 4 * np.sqrt(wanted * (1 - wanted) / count) + 1e-6)


def test_a_text_that_ended_keeps_a_beam_and_one_that_holds_nothing_gains_none():
    scores = jnp.broadcast_to(jnp.log(jnp.array([0.4, 0.3, 0.2, 0.1])), (2, 3, 4))
    total = jnp.array([[-0.5, -9.0, -jnp.inf], [-1.0, -jnp.inf, -jnp.inf]])
    done = jnp.array([[False, True, False], [True, True, False]])
    parents, tokens, totals = best_continuations(scores, total, done)
    np.testing.assert_array_equal(parents[0], [1, 0, 0])
    np.testing.assert_array_equal(tokens[0, 1:], [0, 1])
    np.testing.assert_allclose(totals[0], [-9.0, -0.5 + np.log(0.4), -0.5 + np.log(0.3)], rtol=1e-6)
    assert parents[1, 0] == 0
    np.testing.assert_array_equal(totals[1], [-1.0, -np.inf, -np.inf])


def test_beams_go_to_the_highest_sums_whichever_beam_they_continue():
    scores = jnp.log(jnp.array([[[0.9, 0.06, 0.04], [0.2, 0.5, 0.3]]]))
    parents, tokens, totals = best_continuations(scores, jnp.array([[-1.0, -1.2]]), jnp.zeros((1, 2), bool))
    np.testing.assert_array_equal(parents, [[0, 1]])
    np.testing.assert_array_equal(tokens, [[0, 1]])
    np.testing.assert_allclose(totals, [[-1 + np.log(0.9), -1.2 + np.log(0.5)]], rtol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_new": 0}, "max_new of a text is 0: write at least 1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty of a text is 0.0"),
        ({"temperature": -1.0}, "temperature of a text is -1.0"),
        ({"temperature": float("nan")}, "temperature of a text is nan"),
        ({"top_k": -1}, "top_k of a text is -1"),
        ({"top_p": 0.0}, "top_p of a text is 0.0"),
        ({"top_p": 1.1}, "top_p of a text is 1.1"),
        ({"beams": 0}, "beams of a text is 0"),
        ({"beams": 2, "temperature": 1.0}, "beams are not drawn"),
        ({"length_penalty": float("inf")}, "length_penalty of a text is inf"),
        ({"stops": (3,), "banned": (4, 3)}, "an id that is banned cannot end a text"),
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_refused_in_one_sentence(wrong, said):
    with pytest.raises(ValueError, match=said):
        TextOptions(end=0, **wrong)
