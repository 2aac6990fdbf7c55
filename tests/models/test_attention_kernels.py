"""Splash attention of packed rows gives what the reference gives, gradients too; the kernel is run step by step."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models import Decoder
from motiongpt3_jax.models.attention_kernels import KeyRanges, cudnn_takes
from motiongpt3_jax.models.attention_masks import joined_segments, key_ranges, layer_mask, visibility
from motiongpt3_jax.models.flavour import BlockFlavour
from tests.models.packed_streams import CONFIG, gradients, packed_streams, parameters, run_kernels_stepwise


@pytest.fixture(autouse=True)
def stepwise(monkeypatch):
    run_kernels_stepwise(monkeypatch.setattr)


def assert_alike(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1.0, float(jnp.abs(b).max())))


@pytest.mark.slow
def test_splash_attention_of_packed_streams_is_the_references_in_layers_that_share_and_that_do_not():
    streams = packed_streams(2)
    params = parameters(CONFIG, streams)
    assert_alike(gradients(replace(CONFIG, attention="splash"), params, streams), gradients(CONFIG, params, streams))


def test_grouped_heads_rotary_positions_windows_of_some_layers_and_a_cap_go_through_splash_attention():
    flavour = BlockFlavour("rms", "silu", gated=True, biases=False, positions="rotary", kv_heads=1, attention_cap=1.5)
    config, streams = replace(CONFIG, flavour=flavour, windows=(3, None), shared=(True, True)), packed_streams(1)
    # A slot that is never asked may leave a window empty.
    streams["text"] = streams["text"].replace(attended=streams["text"].segments > 0)
    params = parameters(config, streams)
    assert_alike(gradients(replace(config, attention="splash"), params, streams), gradients(config, params, streams))


@pytest.mark.slow
def test_slots_of_a_sequence_need_not_lie_together_in_splash_attention():
    streams = packed_streams(1)
    text = streams["text"]
    trained = (text.positions >= 4) & (text.segments > 0)
    order = jnp.argsort(trained, axis=1, stable=True)
    streams["text"] = jax.vmap(lambda row, order: jax.tree.map(lambda x: x[order], row))(
        text.replace(trained=trained), order
    )
    params = parameters(CONFIG, streams)
    assert_alike(gradients(replace(CONFIG, attention="splash"), params, streams), gradients(CONFIG, params, streams))


@pytest.mark.parametrize("windows", [(), (None, 3)])
def test_ranges_of_keys_say_what_a_query_sees_of_its_segment(windows):
    config, streams = replace(CONFIG, windows=windows), packed_streams(2)
    masks, segments = visibility(config, streams, streams), joined_segments(config, streams)
    ranges = key_ranges(config, {name: stream.embeddings for name, stream in streams.items()})
    assert ranges.fit
    same = segments.queries[:, :, None] == segments.keys[:, None, :]
    for layer in range(2):
        seen = layer_mask(masks, config.layer_values.layer(layer))
        found = same & ranges.unpack(ranges.pack(seen)[:, :, None], jnp.arange(seen.shape[2]))
        np.testing.assert_array_equal(found, seen)


def test_ranges_that_no_number_holds_are_known():
    assert KeyRanges((2**15 - 1, 2**16 - 1), windows=False).fit
    assert not KeyRanges((512, 96), windows=True).fit
    assert KeyRanges((2**15 - 1,), windows=True).fit


def test_what_cudnn_cannot_compute_takes_the_reference():
    config = replace(CONFIG, attention="cudnn", dtype="bfloat16")
    assert cudnn_takes(config)
    assert not cudnn_takes(replace(config, flavour=BlockFlavour(attention_cap=50.0)))
    assert not cudnn_takes(replace(config, head_width=256))


@pytest.mark.slow
def test_dropout_of_attention_weights_takes_the_reference():
    streams = packed_streams(1)
    params = parameters(CONFIG, streams)
    config = replace(CONFIG, attention_dropout=0.5)

    @partial(jax.jit, static_argnums=0)
    def run(config):
        rngs = {"dropout": jax.random.key(3)}
        return Decoder(config).apply({"params": params}, streams, deterministic=False, rngs=rngs)

    assert_alike(run(replace(config, attention="splash")), run(config))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"attention": "flash"}, "choose reference or splash or cudnn"),
        ({"attention": "splash", "causal": False}, "causal decoders"),
        ({"attention": "splash", "flavour": BlockFlavour(positions="relative")}, "take reference"),
        ({"attention": "cudnn"}, "half precision"),
    ],
)
def test_a_kernel_that_cannot_compute_a_decoders_attention_is_refused(options, said):
    with pytest.raises(UserError, match=said):
        replace(CONFIG, **options)
