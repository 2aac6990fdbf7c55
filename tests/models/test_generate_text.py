"""The decoding loop over decode steps of small made-up models."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models.generate_text import generate_text
from motiongpt3_jax.models.token_sampling import TextOptions

IDS, END, PROMPT = 11, 10, (4, 7, 2)
GREEDY = TextOptions(end=END, max_new=6, repetition_penalty=1.0)
CHAIN = np.log(np.random.default_rng(1).dirichlet(np.full(IDS, 0.5), size=IDS) + 1e-4).astype(np.float32)
"""log p of the next id after each id."""


def memory_step(cache, tokens, positions, index, only):
    """The best next id depends on the token, its position and every token in the cache, padding has the best score."""
    cache = jax.lax.dynamic_update_slice_in_dim(cache, tokens, index, 1)
    best = (3 * tokens + positions + cache.sum(axis=1, keepdims=True)) % END
    return jax.nn.one_hot(best, IDS + 2).at[..., IDS:].set(9.0), cache


def chain_step(cache, tokens, positions, index, only):
    """The next id's chances depend on the token alone."""
    return jnp.asarray(CHAIN)[tokens], cache


@partial(jax.jit, static_argnames=("step", "options"))
def generate(step, logits, cache, positions, options, seeds=None, lengths=None):
    arguments = {"positions": positions, "index": len(PROMPT), "seeds": seeds, "lengths": lengths}
    return generate_text(logits, cache, step, options, vocabulary=IDS, **arguments)


def chain(first, options=GREEDY, seeds=None, lengths=None):
    """Texts after the ids `first`."""
    logits, positions = CHAIN[np.array(first)], jnp.zeros(len(first), int)
    return np.asarray(generate(chain_step, logits, (), positions, options, seeds, lengths))


def test_tokens_go_to_the_next_slots_of_the_cache_with_their_rows_positions():
    cache = np.zeros((2, len(PROMPT) + GREEDY.cache_slots), int)
    cache[:, : len(PROMPT)] = PROMPT
    positions = np.array([3, 8])
    found = generate(memory_step, jax.nn.one_hot(jnp.array([5, 1]), IDS + 2), cache, positions, GREEDY)
    for token, position, text in zip((5, 1), positions, found):
        wanted, total = [token], sum(PROMPT) + token
        for place in range(GREEDY.max_new - 1):
            wanted.append((3 * wanted[-1] + position + place + total) % END)
            total += wanted[-1]
        np.testing.assert_array_equal(text, wanted)


@pytest.mark.parametrize("beams", [1, 3])
def test_forced_ids_begin_every_text_even_banned_ones(beams):
    options = replace(GREEDY, forced=(6, 3), banned=(3,), beams=beams)
    found = chain([0, 1], options)
    np.testing.assert_array_equal(found[:, :2], [[6, 3], [6, 3]])
    # What follows is what follows the last of them.
    alone = chain([3], replace(options, forced=(), max_new=4))
    np.testing.assert_array_equal(found[:, 2:], np.repeat(alone, 2, axis=0))
    assert 3 not in found[:, 2:]


@pytest.mark.parametrize("options", [GREEDY, replace(GREEDY, temperature=2.0), replace(GREEDY, beams=2)], ids=str)
def test_ids_that_are_not_allowed_are_never_chosen(options):
    allowed = (2, 5, 8)
    free, found = (chain(range(8), replace(options, allowed=a), jnp.arange(8)) for a in ((), allowed))
    assert not {*free.ravel()} <= {*allowed, END}
    assert {*found.ravel()} <= {*allowed, END}
    assert {*found.ravel()} & {*allowed}


def test_an_id_that_ends_a_text_needs_no_permission():
    chances = np.full((1, IDS), -9.0, np.float32)
    chances[0, [END, 7]] = 1.0, 0.5
    for options in (replace(GREEDY, allowed=(2,)), replace(GREEDY, allowed=(2,), banned=(END,), stops=(7,))):
        text = generate(chain_step, chances, (), jnp.zeros(1, int), options)[0]
        assert text[0] == (7 if options.stops else END)
        assert (text[1:] == END).all()


KINDS = [GREEDY, replace(GREEDY, temperature=2.0), replace(GREEDY, beams=2)]


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_texts_of_one_batch_have_exactly_the_lengths_that_are_asked_for(options):
    lengths = jnp.array([1, 6, 3, 0, 2, 5, 4, 0])
    found = chain(range(8), options, jnp.arange(8), lengths)
    free = chain(range(8), options, jnp.arange(8))
    for text, other, length in zip(found, free, lengths):
        if length:
            np.testing.assert_array_equal(text == END, np.arange(options.max_new) >= length)
        else:
            np.testing.assert_array_equal(text, other)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_no_text_ends_before_its_least_length(options):
    ends = jnp.where(jnp.arange(IDS) == END, 9.0, jnp.zeros((4, IDS)))
    for least in (0, 2):
        chosen = replace(options, min_new=least, allowed=(1, 2))
        texts = generate(chain_step, ends, (), jnp.zeros(4, int), chosen, jnp.arange(4))
        shortest = (texts != END).sum(axis=1).min()
        assert shortest == 0 if not least else shortest >= least


def test_sampling_without_seeds_is_refused():
    with pytest.raises(ValueError, match="give each request a seed"):
        chain([0], replace(GREEDY, temperature=1.0))
