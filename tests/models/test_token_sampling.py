"""Token sampling: processed logits, samples, beam search steps."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models.token_sampling import (
    TextOptions,
    argmax_token,
    beam_search_step,
    process_logits,
    sample_token,
    top_p_logits,
)

DRAWN = TextOptions(end=0, temperature=1.0)
CHANCES = np.array([[0.3, 0.05, 0.5, 0.15]])


def test_scores_of_written_ids_are_penalised_and_banned_ones_never_win():
    logits = jnp.array([[2.0, -2.0, 4.0, 9.0, 5.0, -jnp.inf]])
    seen = jnp.array([[True, True, False, False, False]])
    found = process_logits(logits, seen, 0, TextOptions(end=0, banned=(3,), repetition_penalty=2.0))
    np.testing.assert_allclose(found, [[1.0, -4.0, 4.0, -jnp.inf, 5.0]])


def test_a_forced_id_has_all_the_chance_at_its_own_step_alone():
    logits, seen = jnp.array([[2.0, -2.0, 4.0, 1.0]]), jnp.zeros((1, 4), bool)
    options = TextOptions(end=0, banned=(3,), forced=(3, 1), repetition_penalty=1.0)
    scores = [process_logits(logits, seen, jnp.int32(step), options)[0] for step in range(3)]
    np.testing.assert_array_equal(jax.nn.softmax(jnp.stack(scores[:2])), [[0, 0, 0, 1], [0, 1, 0, 0]])
    np.testing.assert_array_equal(scores[2], [2.0, -2.0, 4.0, -jnp.inf])


def test_allowed_ids_and_those_that_end_a_text_keep_their_logits():
    logits, seen = jnp.array([[2.0, -2.0, 4.0, 1.0, 3.0]]), jnp.zeros((1, 5), bool)
    options = TextOptions(end=0, allowed=(1,), stops=(4,), repetition_penalty=1.0)
    np.testing.assert_array_equal(process_logits(logits, seen, 0, options), [[2.0, -2.0, -jnp.inf, -jnp.inf, 3.0]])


def test_the_first_of_equally_good_ids_is_the_best():
    scores = jnp.array([[1.0, 3.0, 3.0, -jnp.inf], [2.0, -1.0, 2.0, 0.0]])
    np.testing.assert_array_equal(argmax_token(scores), [1, 0])


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
    found = np.asarray(top_p_logits(jnp.log(CHANCES) - 0.1, options))[0]
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(found)), kept)
    powers = CHANCES[0, kept] ** (1 / options.temperature)
    np.testing.assert_allclose(jax.nn.softmax(found)[jnp.array(kept)], powers / powers.sum(), rtol=1e-5)


def test_top_p_of_many_ids_is_that_of_sorting_them():
    scores = jax.random.normal(jax.random.key(0), (3, 2000)) * jnp.array([[1.0], [4.0], [12.0]])
    found = np.isfinite(top_p_logits(scores, replace(DRAWN, top_p=0.9)))
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
    found = np.bincount(sample_token(scores, jnp.arange(count), 3, options), minlength=4) / count
    wanted = np.zeros(4)
    wanted[kept] = CHANCES[0, kept] ** (1 / options.temperature)
    wanted /= wanted.sum()
    assert (found[wanted == 0] == 0).all()
    np.testing.assert_array_less(abs(found - wanted), 4 * np.sqrt(wanted * (1 - wanted) / count) + 1e-6)


def test_a_text_that_ended_keeps_a_beam_and_one_that_holds_nothing_gains_none():
    scores = jnp.broadcast_to(jnp.log(jnp.array([0.4, 0.3, 0.2, 0.1])), (2, 3, 4))
    total = jnp.array([[-0.5, -9.0, -jnp.inf], [-1.0, -jnp.inf, -jnp.inf]])
    done = jnp.array([[False, True, False], [True, True, False]])
    parents, tokens, totals = beam_search_step(scores, total, done)
    np.testing.assert_array_equal(parents[0], [1, 0, 0])
    np.testing.assert_array_equal(tokens[0, 1:], [0, 1])
    np.testing.assert_allclose(totals[0], [-9.0, -0.5 + np.log(0.4), -0.5 + np.log(0.3)], rtol=1e-6)
    assert parents[1, 0] == 0
    np.testing.assert_array_equal(totals[1], [-1.0, -np.inf, -np.inf])


def test_beams_go_to_the_highest_sums_whichever_beam_they_continue():
    scores = jnp.log(jnp.array([[[0.9, 0.06, 0.04], [0.2, 0.5, 0.3]]]))
    parents, tokens, totals = beam_search_step(scores, jnp.array([[-1.0, -1.2]]), jnp.zeros((1, 2), bool))
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
        ({"allowed": (3, 5), "banned": (4, 3)}, "an id that is banned cannot be chosen"),
        ({"forced": (3, 5), "max_new": 1}, r"forced of a text is \(3, 5\): they are more tokens than max_new"),
        ({"forced": (3, 0, 5)}, "nothing follows an id that ends a text"),
        ({"allowed": (0.5,)}, "allowed of a text is .*: give whole numbers"),
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_refused_in_one_sentence(wrong, said):
    with pytest.raises(ValueError, match=said):
        TextOptions(end=0, **wrong)
