"""Layers with a sliding window beside layers that see all: masks, packing, KV cache, scan."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import Decoder, decode_step, grow, prefill, unstack_layers
from motiongpt3_jax.models.attention_masks import layer_mask, visibility
from motiongpt3_jax.models.decoder_config import LayerValues
from motiongpt3_jax.models.flavour import GEMMA3, BlockFlavour, Rotary
from tests.models.tiny import CONFIG, parameters, sequence, stream
from tests.quick import one_quick

FLAVOUR = replace(GEMMA3, kv_heads=1, rotary=Rotary(100.0, factor=2.0), local_rotary=Rotary(20.0), attention_cap=2.0)
WINDOWS = replace(CONFIG, flavour=FLAVOUR, windows=(2, None), dropout=0.0)
"""Norms of queries and keys, norms behind branches, two rotary bases, a cap, and a window in the first layer."""

PLACES = {"text": [0, 1, 4, 5, 6], "motion": [2, 3]}


@partial(jax.jit, static_argnames="config")
def run(config, params, streams):
    return Decoder(config).apply({"params": params}, streams)


def assert_alike(found, expected, tolerance=1e-5):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, float(jnp.abs(b).max())))


def test_a_window_counts_positions_of_all_streams_and_ends_at_segments():
    streams = {"text": stream(0, [0, 1, 4, 0], segments=[1, 1, 1, 2]), "motion": stream(1, [2, 3])}
    masks = visibility(WINDOWS, streams, streams)
    near, far = (layer_mask(masks, LayerValues(np.True_, window))[0] for window in (2, 2**31 - 1))
    wanted = [[1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 1], [0, 0, 0, 1, 0, 0]]
    np.testing.assert_array_equal(near, [*wanted, [0, 1, 0, 0, 1, 0], [0, 0, 0, 0, 1, 1]])
    np.testing.assert_array_equal(far, masks.seen[0])


def test_what_lies_before_the_windows_has_no_gradient():
    config, streams = replace(WINDOWS, windows=(2, 3)), {"text": stream(0, [0, 1, 2, 3, 4, 5])}
    params = parameters(config)

    def last(embeddings):
        given = {"text": streams["text"].replace(embeddings=embeddings)}
        return Decoder(config).apply({"params": params}, given)["text"][0, -1].sum()

    reached = np.abs(jax.jit(jax.grad(last))(streams["text"].embeddings)).sum(axis=-1)[0] > 0
    # One position back through the first layer, two through the second.
    np.testing.assert_array_equal(reached, [False, False, True, True, True, True])


def test_slot_by_slot_past_a_window_equals_one_pass():
    params, streams = parameters(WINDOWS), sequence(3, WINDOWS, PLACES)
    whole = run(WINDOWS, params, streams)["text"]

    @jax.jit
    def by_slot(params, streams):
        def slots(first, last):
            return jax.tree.map(lambda x: x[:, first:last], streams["text"])

        params = unstack_layers(params)
        first, cache = prefill(Decoder(WINDOWS), params, {**streams, "text": slots(0, 2)})
        cache, found = {**cache, "text": grow(cache["text"], 3)}, [first["text"]]
        for slot in range(2, 5):
            hidden, cache = decode_step(Decoder(WINDOWS), params, {"text": slots(slot, slot + 1)}, cache, slot)
            found.append(hidden["text"])
        return jnp.concatenate(found, axis=1)

    assert_alike(by_slot(params, streams), whole)


def test_a_packed_row_is_its_samples_alone():
    params = parameters(WINDOWS)
    both = stream(5, [0, 1, 2, 3, 4, 0, 1, 2, 3], segments=[1] * 5 + [2] * 4)
    apart = [jax.tree.map(lambda x, s=s: x[:, s], both) for s in (slice(5), slice(5, 9))]
    found = run(WINDOWS, params, {"text": both})["text"]
    wanted = [run(WINDOWS, params, {"text": one})["text"] for one in apart]
    assert_alike(found, jnp.concatenate(wanted, axis=1))


@one_quick("changed", [{"scan": False}, {"remat": "full"}], ids=str)
def test_a_scan_over_layers_is_the_layers_one_after_another(changed):
    params, streams = parameters(WINDOWS), {"text": stream(0, [0, 1, 2, 3])}

    def gradients(config):
        def loss(params):
            return jnp.sum(jnp.sin(Decoder(config).apply({"params": params}, streams)["text"]))

        return jax.jit(jax.value_and_grad(loss))(params)

    assert_alike(gradients(replace(WINDOWS, **changed)), gradients(WINDOWS))


def test_parameters_of_norms_and_biases_are_those_of_the_flavour():
    shapes = jax.eval_shape(lambda: parameters(WINDOWS))["layers"]["text"]
    assert {name: block["scale"].shape for name, block in shapes.items() if name.endswith("norm")} == {
        **dict.fromkeys(("attention_norm", "post_attention_norm", "mlp_norm", "post_mlp_norm"), (2, 8)),
        **dict.fromkeys(("q_norm", "k_norm"), (2, 4)),
    }
    biased = replace(CONFIG, flavour=BlockFlavour(biases=False, qkv_biases=True))
    shapes = jax.eval_shape(lambda: parameters(biased))["layers"]["text"]
    assert {name for name, block in shapes.items() if "bias" in block} == {"q", "k", "v"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"windows": (2,)}, "1 windows are given for 2 layers"),
        ({"windows": (None, 0)}, "a query sees itself, so each is 1 at least"),
        ({"windows": (2, 2), "causal": False}, "this decoder is not causal"),
    ],
)
def test_windows_that_no_decoder_has_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        replace(WINDOWS, **changed)
