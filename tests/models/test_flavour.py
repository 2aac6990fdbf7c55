"""Decoder blocks of other families than GPT-2's."""

from dataclasses import replace
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import BlockFlavour, Decoder, decode_step, grow, prefill, unstack_layers
from motiongpt3_jax.models.flavour import Rotary, RotaryScaling, rotate
from motiongpt3_jax.models.stream_block import StreamBlock
from tests.models.tiny import CONFIG, NARROW, parameters, sequence, stream

LLAMA = BlockFlavour(norm="rms", activation="silu", gated=True, biases=False, positions="rotary", kv_heads=1)
ROTARY, GROUPED = replace(CONFIG, flavour=BlockFlavour(positions="rotary")), BlockFlavour(kv_heads=1)


def paths(config):
    shapes = jax.eval_shape(lambda key: Decoder(config).init(key, sequence(config=config)), jax.random.key(0))
    return {jax.tree_util.keystr(p, simple=True, separator="/"): x.shape for p, x in jax.tree.leaves_with_path(shapes)}


def test_parameters_are_those_of_the_flavour_alone():
    found = paths(replace(CONFIG, flavour=LLAMA))
    layers = {path.removeprefix("params/layers/text/"): shape for path, shape in found.items() if "layers/text" in path}
    assert layers == {
        "attention_norm/scale": (2, 8),
        "q/kernel": (2, 8, 2, 4),
        "k/kernel": (2, 8, 1, 4),
        "v/kernel": (2, 8, 1, 4),
        "o/kernel": (2, 2, 4, 8),
        "mlp_norm/scale": (2, 8),
        "gate/kernel": (2, 8, 12),
        "up/kernel": (2, 8, 12),
        "down/kernel": (2, 12, 8),
    }
    assert {path for path in found if "layers" not in path} == {
        f"params/final_norm/{s}/scale" for s in ("text", "motion")
    }


def test_a_block_is_what_its_formulas_say():
    config = replace(CONFIG, flavour=LLAMA)
    block, rng = StreamBlock(config.streams[0], config), np.random.default_rng(0)
    params = {
        "attention_norm": {"scale": rng.normal(size=8)},
        "q": {"kernel": rng.normal(size=(8, 2, 4))},
        "k": {"kernel": rng.normal(size=(8, 1, 4))},
        "v": {"kernel": rng.normal(size=(8, 1, 4))},
        "o": {"kernel": rng.normal(size=(2, 4, 8))},
        "mlp_norm": {"scale": rng.normal(size=8)},
        "gate": {"kernel": rng.normal(size=(8, 12))},
        "up": {"kernel": rng.normal(size=(8, 12))},
        "down": {"kernel": rng.normal(size=(12, 8))},
    }
    x, mixed = rng.normal(size=(1, 3, 8)), rng.normal(size=(1, 3, 2, 4))

    def rms(x, name):
        return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + config.eps) * params[name]["scale"]

    apply = partial(block.apply, {"params": params})
    query, key, value = apply(x, jnp.zeros((1, 3), int), method="project")
    normed = rms(x, "attention_norm")
    for found, name in ((query, "q"), (key, "k"), (value, "v")):
        wanted = np.einsum("bsw,whd->bhsd", normed, params[name]["kernel"])
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    after = x + np.einsum("bshd,hdw->bsw", mixed, params["o"]["kernel"])
    normed = rms(after, "mlp_norm")
    gate = np.asarray(nn.silu(normed @ params["gate"]["kernel"]))
    wanted = after + (gate * (normed @ params["up"]["kernel"])) @ params["down"]["kernel"]
    np.testing.assert_allclose(apply(x, mixed, True, method="finish"), wanted, rtol=1e-4, atol=1e-3)


def test_scaled_frequencies_are_those_of_llama_3():
    """Head width 8, theta 10,000: 1, .1, .01, .001 turns of 2 pi in 64 positions are 10.2, 1.02, .10, .010."""
    plain = Rotary().frequencies(8)
    np.testing.assert_allclose(plain, [1, 0.1, 0.01, 0.001], rtol=1e-6)
    scaled = Rotary(scaling=RotaryScaling(8.0, 1.0, 4.0, 64)).frequencies(8)
    np.testing.assert_allclose(Rotary(factor=4.0).frequencies(8), plain / 4, rtol=1e-6)
    turns = 0.1 * 64 / (2 * np.pi)
    share = (turns - 1) / 3
    np.testing.assert_allclose(scaled, [1, 0.1 * (share + (1 - share) / 8), 0.01 / 8, 0.001 / 8], rtol=1e-6)


def test_rotary_products_depend_on_the_distance_alone():
    q, k = (jax.random.normal(jax.random.key(seed), (1, 1, 1, 6)) for seed in (0, 1))

    def turned(x, at):
        return rotate(x, jnp.array([[at]]), Rotary().frequencies(6))

    def product(at, key_at):
        return float((turned(q, at) * turned(k, key_at)).sum())

    assert product(7, 4) == pytest.approx(product(3, 0), abs=1e-5)
    assert abs(product(7, 4) - product(7, 5)) > 1e-3
    np.testing.assert_array_equal(turned(q, 0), q)


@pytest.mark.parametrize(
    "config",
    [ROTARY, replace(CONFIG, flavour=GROUPED), replace(NARROW, flavour=LLAMA)],
    ids=["rotary", "grouped", "llama with a narrow motion branch"],
)
def test_decode_steps_equal_one_pass(config):
    params, streams = parameters(config), sequence(3, config, {"text": [0, 1, 4, 5], "motion": [2, 3]})
    whole = jax.jit(partial(prefill, Decoder(config)))(params, streams)[0]["text"]
    early, late = (jax.tree.map(lambda x, s=s: x[:, s], streams["text"]) for s in (slice(2), slice(2, 4)))

    @jax.jit
    def in_two(params, early, late, motion):
        params = unstack_layers(params)
        _, cache = prefill(Decoder(config), params, {"text": early, "motion": motion})
        cache = {**cache, "text": grow(cache["text"], 2)}
        return decode_step(Decoder(config), params, {"text": late}, cache, 2)[0]["text"]

    np.testing.assert_allclose(in_two(params, early, late, streams["motion"]), whole[:, 2:], atol=1e-4)


def test_grouped_heads_are_heads_of_equal_keys_and_values():
    grouped, params = replace(CONFIG, flavour=GROUPED), parameters(replace(CONFIG, flavour=GROUPED))
    layers = {
        name: block | {part: jax.tree.map(lambda x: jnp.repeat(x, 2, axis=-2), block[part]) for part in "kv"}
        for name, block in params["layers"].items()
    }
    streams = {"text": stream(0, [0, 1, 2])}
    found = Decoder(grouped).apply({"params": params}, streams)["text"]
    wanted = Decoder(CONFIG).apply({"params": params | {"layers": layers}}, streams)["text"]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: BlockFlavour(norm="batch"),
            "norm of a decoder block is 'batch': choose layer or rms or zero_centred_rms",
        ),
        (lambda: BlockFlavour(activation="relu"), "choose gelu_tanh or silu"),
        (lambda: BlockFlavour(positions="sine"), "choose learned or rotary"),
        (lambda: replace(CONFIG, flavour=BlockFlavour(kv_heads=3)), "2 heads do not share 3 heads"),
        (lambda: replace(ROTARY, head_width=3), "3 channels a head are odd"),
    ],
)
def test_what_no_block_is_is_refused_in_one_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        make()
