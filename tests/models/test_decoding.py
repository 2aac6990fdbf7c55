"""Decode steps with a KV cache against one pass over everything."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import Decoder, decode_step, grow, prefill, unstack_layers
from tests.models.tiny import CONFIG, NARROW, parameters, sequence, stream
from tests.quick import one_quick


@partial(jax.jit, static_argnames="config")
def read_all(streams, config=CONFIG, params=None):
    return prefill(Decoder(config), params or parameters(), streams)


@partial(jax.jit, static_argnames="config")
def go_on(streams, cache, index, config=CONFIG, params=None, only=None):
    return decode_step(Decoder(config), unstack_layers(params or parameters()), streams, cache, index, only)


def slots(stream, *places):
    return jax.tree.map(lambda x: x[:, jnp.array(places)], stream)


APART = replace(CONFIG, shared=(False, True))
CONFIGS = one_quick("config", [CONFIG, NARROW, APART], NARROW, ids=["", "narrow", "apart"])


@CONFIGS
def test_layers_one_by_one_read_and_leave_what_stacked_ones_do(config):
    params, streams = parameters(config), sequence(3, config)
    stacked = read_all(streams, config, params)
    one_by_one = read_all(streams, config, unstack_layers(unstack_layers(params)))
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), one_by_one, stacked)


@CONFIGS
def test_slot_by_slot_equals_one_pass(config):
    params = parameters(config)
    streams = sequence(3, config, {"text": [0, 1, 4, 5, 6], "motion": [2, 3]})
    whole = read_all(streams, config, params)[0]["text"]
    first, cache = read_all({**streams, "text": slots(streams["text"], 0, 1)}, config, params)
    np.testing.assert_allclose(first["text"], whole[:, :2], atol=1e-5)
    cache = {**cache, "text": grow(cache["text"], 4)}
    for slot in range(2, 5):
        hidden, cache = go_on({"text": slots(streams["text"], slot)}, cache, slot, config, params)
        np.testing.assert_allclose(hidden["text"], whole[:, slot : slot + 1], atol=1e-5)
    np.testing.assert_array_equal(cache["text"].attended, [[True] * 5 + [False]])
    np.testing.assert_array_equal(cache["motion"].positions, streams["motion"].positions)


def test_several_slots_of_both_streams_at_once_equal_one_pass():
    streams = sequence(3, CONFIG, {"text": [0, 1, 4, 5], "motion": [2, 3, 6]})
    whole, _ = read_all(streams)
    _, cache = read_all({"text": slots(streams["text"], 0, 1), "motion": slots(streams["motion"], 0)})
    cache = {name: grow(held, 2) for name, held in cache.items()}
    late = {"motion": slots(streams["motion"], 1, 2), "text": slots(streams["text"], 2, 3)}
    # Of both streams the slots go to the same place, behind what the longer cache holds.
    hidden, _ = go_on(late, cache | {"motion": grow(cache["motion"], 1)}, 2)
    np.testing.assert_allclose(hidden["text"], whole["text"][:, 2:], atol=1e-5)
    np.testing.assert_allclose(hidden["motion"], whole["motion"][:, 1:], atol=1e-5)


def test_what_is_written_replaces_what_the_cache_held_there():
    streams = {"text": stream(0, [0, 1, 2])}
    _, cache = read_all(streams)
    last = slots(streams["text"], 2)
    other = last.replace(embeddings=-last.embeddings)
    once, _ = go_on({"text": other}, cache, 2)
    _, overwritten = go_on({"text": last}, cache, 2)
    again, _ = go_on({"text": other}, overwritten, 2)
    moved = streams["text"].replace(embeddings=streams["text"].embeddings.at[:, 2].multiply(-1))
    np.testing.assert_allclose(once["text"], read_all({"text": moved})[0]["text"][:, 2:], atol=1e-5)
    np.testing.assert_allclose(again["text"], once["text"], atol=1e-6)


def test_two_continuations_of_one_cache_that_do_not_see_each_other_are_what_each_is_alone():
    streams = sequence(3)
    _, cache = read_all(streams)
    both = stream(8, [6, 6])
    room = {**cache, "text": grow(cache["text"], 2)}
    own = jnp.array([[[True] * 4 + [True, False], [True] * 4 + [False, True]]])
    together, _ = go_on({"text": both}, room, 4, only={"text": own})
    for place in range(2):
        alone, _ = go_on({"text": slots(both, place)}, room, 4)
        np.testing.assert_allclose(together["text"][:, place], alone["text"][:, 0], atol=1e-5)


def test_a_stream_without_a_cache_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"KV cache of \['motion'\] for the streams \['text'\]"):
        go_on({"text": stream(0, [0])}, {"motion": read_all(sequence())[1]["motion"]}, 1)
