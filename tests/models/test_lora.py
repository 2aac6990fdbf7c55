"""LoRA: what an adapter adds, that others stay out of it, merging, what trains, and how many parameters there are."""

import math
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models import (
    T5,
    Adapter,
    Adapters,
    Decoder,
    StreamConfig,
    T5Config,
    decode_step,
    grow,
    merge_adapter,
    prefill,
    prefill_t5,
    unmerge_adapter,
    unstack_layers,
)
from motiongpt3_jax.models.constrain import Unconstrained
from motiongpt3_jax.models.flavour import LLAMA
from motiongpt3_jax.models.lora import without_adapters
from motiongpt3_jax.planning.traced_flops import function_flops
from tests.models.tiny import CONFIG, sequence, stream
from tests.quick import one_quick

ALL = Adapter("t2m", rank=3, alpha=6.0, dropout=0.0, targets=(".*",))
SOME = Adapter("m2t", rank=2, alpha=2.0, dropout=0.5, targets=("text/(q|v)",))
BOTH = Adapters((ALL, SOME))
GPT2 = replace(CONFIG, adapters=BOTH)
GROUPED = replace(GPT2, flavour=replace(LLAMA, kv_heads=1))
GEMMA_2B = replace(
    GROUPED,
    streams=(StreamConfig("text", 2304, 9216),),
    layers=26,
    heads=8,
    head_width=256,
    shared=(True,) * 26,
    flavour=replace(LLAMA, kv_heads=4),
)


def shapes(config):
    entering = {each.name: stream(0, [0], each.width) for each in config.streams}
    return jax.eval_shape(lambda key: Decoder(config).init(key, entering), jax.random.key(0))["params"]


def random_like(tree, scale=0.4):
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(0), len(leaves))
    return jax.tree.unflatten(structure, [scale * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves)])


@partial(jax.jit, static_argnums=0)
def run(config, params, streams):
    return Decoder(config).apply({"params": params}, streams)["text"]


def using(config, name):
    return replace(config, adapters=config.adapters.using(name))


@one_quick("config", [GPT2, GROUPED], GROUPED, ids=["gpt2", "grouped heads"])
def test_an_adapter_is_the_same_beside_its_kernels_and_merged_into_them(config):
    params, streams = random_like(shapes(config)), sequence()
    applied = run(using(config, "t2m"), params, streams)
    merged, kept = merge_adapter(params, config.adapters, "t2m")
    np.testing.assert_allclose(applied, run(config, merged, streams), atol=2e-5)
    assert np.abs(applied - run(config, params, streams)).max() > 0.05
    jax.tree.map(np.testing.assert_array_equal, unmerge_adapter(merged, kept), params)


@pytest.mark.slow
def test_a_t5_has_adapters_in_both_halves_and_in_its_cross_attention():
    adapters = Adapters((replace(ALL, targets=("source/.*", "target/cross/.*")),))
    config = T5Config(8, 1, 1, 2, 4, 12, adapters=adapters)
    source, target = stream(0, [0, 1, 2]), stream(1, [0, 1])
    params = random_like(jax.eval_shape(T5(config).init, jax.random.key(0), source, target)["params"])
    paths = flatten_dict(params, sep="/")
    assert "decoder/layers/target/cross/k/lora/t2m/a" in paths
    assert "decoder/layers/target/q/lora/t2m/a" not in paths
    used, merged = T5(replace(config, adapters=adapters.using("t2m"))), merge_adapter(params, adapters, "t2m")[0]
    applied = jax.jit(used.apply)({"params": params}, source, target)
    np.testing.assert_allclose(applied, jax.jit(T5(config).apply)({"params": merged}, source, target), atol=2e-5)
    prefilled = jax.jit(lambda params: prefill_t5(used, params, source, target)[0])(params)
    np.testing.assert_allclose(applied, prefilled, atol=2e-5)


@pytest.mark.slow
def test_fresh_adapters_change_nothing_and_leave_the_base_as_it_starts_without_them():
    init = jax.jit(lambda config, key: Decoder(config).init(key, sequence())["params"], static_argnums=0)
    with_adapters, plain = init(GPT2, jax.random.key(1)), init(CONFIG, jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, without_adapters(with_adapters), plain)
    np.testing.assert_array_equal(run(using(GPT2, "t2m"), with_adapters, sequence()), run(CONFIG, plain, sequence()))
    a = with_adapters["layers"]["text"]["q"]["lora"]["t2m"]["a"]
    assert a.shape == (2, 8, 3)
    assert 0.1 < float(jnp.abs(a).max()) <= 8**-0.5


def test_an_adapter_that_is_not_used_has_no_gradient_and_the_first_layers_do():
    params = random_like(shapes(GPT2))
    config = using(GPT2, "t2m")
    gradient = jax.jit(jax.grad(lambda params: jnp.sum(run(config, params, sequence()) ** 2)))
    gradients = flatten_dict(jax.device_get(gradient(params)), sep="/")
    for path, gradient in gradients.items():
        if "/lora/m2t/" in path:
            assert not np.any(gradient), path
        if "text" in path and "/lora/t2m/" in path:
            assert np.any(gradient[0]), path


def test_the_input_of_an_adapter_drops_out_in_training_alone():
    params, config = random_like(shapes(GPT2)), replace(using(GPT2, "m2t"), dropout=0.0)

    @jax.jit
    def train(key):
        apply = Decoder(config).apply
        return apply({"params": params}, sequence(), deterministic=False, rngs={"dropout": key})["text"]

    kept, one, other = run(config, params, sequence()), *map(train, jax.random.split(jax.random.key(0)))
    assert float(jnp.abs(one - other).max()) > 1e-3
    assert float(jnp.abs(one - kept).max()) > 1e-3


@pytest.mark.parametrize("hook", [False, True], ids=["one device", "as on a mesh"])
def test_a_frozen_base_has_no_products_of_weight_gradients(hook):
    """Training all of it takes one product of each kernel more than training the adapter."""

    @dataclass(frozen=True)
    class Same(Unconstrained):
        pass

    config = using(replace(GROUPED, streams=(StreamConfig("text", 8, 12),), dropout=0.0), "t2m")
    params, streams = shapes(config), {"text": sequence()["text"]}
    decoder = Decoder(config, **({"constrain": Same()} if hook else {}))
    flat = flatten_dict(params)
    adapter = {path: x for path, x in flat.items() if "t2m" in path}
    base = {path: x for path, x in flat.items() if "lora" not in path}

    def loss(trained, frozen):
        nested = {}
        for path, x in {**trained, **frozen}.items():
            node = nested
            for name in path[:-1]:
                node = node.setdefault(name, {})
            node[path[-1]] = x
        return jnp.sum(decoder.apply({"params": nested}, streams)["text"] ** 2)

    everything = function_flops(jax.grad(loss), {**adapter, **base}, {})
    alone = function_flops(jax.grad(loss), adapter, base)
    kernels = sum(math.prod(x.shape) for path, x in base.items() if path[-1] == "kernel")
    slots = streams["text"].positions.size
    assert everything - alone == 2 * slots * kernels


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_decode_steps_use_the_adapter_as_a_whole_pass_does(dtype):
    config = replace(using(GPT2, "t2m"), dtype=dtype)
    params, decoder = random_like(shapes(GPT2)), Decoder(config)
    whole = {"text": stream(0, [0, 1, 2, 3])}
    first = {"text": jax.tree.map(lambda x: x[:, :3], whole["text"])}
    new = {"text": jax.tree.map(lambda x: x[:, 3:], whole["text"])}

    @jax.jit
    def step(params):
        cache = {"text": grow(prefill(decoder, params, first)[1]["text"], 1)}
        return decode_step(decoder, unstack_layers(params), new, cache, jnp.asarray(3))[0]

    stepped = step(params)
    wanted = run(replace(config, dtype="float32"), params, whole)[:, 3:]
    np.testing.assert_allclose(stepped["text"], wanted, atol=1e-5 if dtype == "float32" else 0.15)


@pytest.mark.parametrize(("rank", "millions"), [(16, 20.77), (32, 41.53), (64, 83.07)])
def test_parameters_of_gemma_2_2b_by_rank(rank, millions):
    config = replace(GEMMA_2B, adapters=Adapters((replace(ALL, rank=rank),)))
    paths = flatten_dict(shapes(config), sep="/")
    count = sum(math.prod(x.shape) for path, x in paths.items() if "/lora/" in path)
    assert round(count / 1e6, 2) == millions


def test_an_adapter_that_there_is_not_is_named():
    with pytest.raises(UserError, match="no adapter 'walk'; the model has: t2m, m2t"):
        BOTH.using("walk")
