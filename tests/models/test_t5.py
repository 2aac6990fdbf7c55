"""A T5's own promises: what sees what, packing, decode steps, and that options change no parameter."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh
from jax.sharding import PartitionSpec as P

from motiongpt3_jax.models import (
    DECODER_RULES,
    FLAN_T5,
    T5,
    Decoder,
    Stream,
    decode_step_t5,
    grow,
    prefill_t5,
    unstack_t5,
)
from motiongpt3_jax.models.stream_block import kernel_inits
from motiongpt3_jax.parallel.sharding import spec
from tests.models.t5_rows import IDS, NEW, TINY, generate, options, parameters, stream_of, vocabulary
from tests.quick import one_quick


def stream(seed, slots, mask=None):
    ids = np.zeros((1, slots), int)
    return stream_of(ids, jax.random.normal(jax.random.key(seed), (1, slots, TINY.width)), mask)


@partial(jax.jit, static_argnames=("config", "deterministic"))
def run(source, target, config=TINY, params=None, key=None, deterministic=True):
    params = parameters()["t5"] if params is None else params
    rngs = None if key is None else {"dropout": key}
    return T5(config).apply({"params": params}, source, target, deterministic, rngs=rngs)


def join(*streams):
    """Sequences in one row, each a segment."""
    parts = [s.replace(segments=(number + 1) * s.segments) for number, s in enumerate(streams)]
    return jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), *parts)


def test_a_target_slot_depends_on_the_whole_source_and_on_what_came_before_it():
    source, target = stream(0, 3), stream(1, 4)

    @jax.jit
    def gradients(inputs):
        def probe(inputs):
            hidden = run(source.replace(embeddings=inputs[0]), target.replace(embeddings=inputs[1]))
            return jnp.sum(hidden[0, 2, :1] ** 3) + 2 * hidden[0, 2, 1]

        return jax.grad(probe)(inputs)

    on_source, on_target = (jnp.abs(g[0]).max(axis=-1) for g in gradients((source.embeddings, target.embeddings)))
    assert (on_source > 1e-6).all()
    assert (on_target[:3] > 1e-6).all()
    assert on_target[3] == 0


def test_pairs_packed_in_a_row_give_what_they_give_alone():
    pairs = [(stream(0, 3), stream(1, 4)), (stream(2, 5), stream(3, 2))]
    nothing = stream(9, 2, [[0, 0]])
    sources, targets = zip(*pairs)
    # The targets lie in another order than the sources: segments say what belongs together, padding lies between.
    second = targets[1].replace(segments=2 * targets[1].segments)
    row = jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), second, nothing, targets[0])
    packed = run(join(sources[0], sources[1]), row)
    np.testing.assert_allclose(packed[:, :2], run(*pairs[1]), atol=1e-5)
    np.testing.assert_allclose(packed[:, 4:], run(*pairs[0]), atol=1e-5)
    assert jnp.isfinite(packed).all()


@pytest.mark.slow
@pytest.mark.parametrize("changed", [{"scan": False}, {"remat": "full"}], ids=str)
def test_scan_and_remat_change_neither_parameters_nor_results(changed):
    config, pair = replace(TINY, **changed), (stream(0, 3), stream(1, 4))
    shapes = [jax.eval_shape(T5(c).init, jax.random.key(0), *pair) for c in (config, TINY)]
    assert shapes[0] == shapes[1]

    @partial(jax.jit, static_argnums=1)
    def loss(params, config):
        return jax.value_and_grad(lambda p: jnp.sum(run(*pair, config, p) ** 3))(params)

    for ours, wanted in zip(loss(parameters()["t5"], config), loss(parameters()["t5"], TINY)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), ours, wanted)


def test_bfloat16_computes_near_float32_over_float32_parameters():
    pair, config = (stream(0, 3), stream(1, 4)), replace(TINY, dtype="bfloat16")
    init = jax.eval_shape(T5(config).init, jax.random.key(0), *pair)
    assert {x.dtype for x in jax.tree.leaves(init)} == {jnp.dtype("float32")}
    assert float(jnp.abs(run(*pair, config) - run(*pair)).max()) < 0.3


def test_dropout_acts_only_in_training():
    pair = (stream(0, 3), stream(1, 4))
    first, second = (run(*pair, key=key, deterministic=False) for key in jax.random.split(jax.random.key(5)))
    assert float(jnp.abs(first - second).max()) > 1e-3
    none = run(*pair, replace(TINY, dropout=0.0), key=jax.random.key(5), deterministic=False)
    np.testing.assert_allclose(none, run(*pair), atol=1e-6)


def test_decode_steps_equal_one_pass():
    module, source, target = T5(TINY), stream(0, 3), stream(1, 5)
    whole = run(source, target)

    def slots(first, last):
        return jax.tree.map(lambda x: x[:, first:last], target)

    @jax.jit
    def steps(params):
        params = unstack_t5(params)
        hidden, cache, memory = prefill_t5(module, params, source, slots(0, 2))
        found, cache = [hidden], {name: grow(kept, 4) for name, kept in cache.items()}
        for slot in range(2, 5):
            hidden, cache = decode_step_t5(module, params, slots(slot, slot + 1), cache, memory, slot)
            found.append(hidden)
        return jnp.concatenate(found, axis=1)

    np.testing.assert_allclose(steps(parameters()["t5"]), whole, atol=1e-5)


@one_quick("beams", [1, 2], 2)
def test_a_text_is_the_same_whatever_its_batch_mates_are(beams):
    sources = jnp.array([[3, 4, 5, 1], [7, 1, 0, 0], [9, 9, 1, 0]])
    together = generate(TINY, vocabulary(TINY), options(6, beams), parameters(), sources, sources > 0)
    for row, text in zip(sources, together):
        alone = jnp.stack([row, jnp.zeros_like(row), row + 1])
        found = generate(TINY, vocabulary(TINY), options(6, beams), parameters(), alone, alone > 0)
        np.testing.assert_array_equal(found[0], text)


def test_a_memory_is_needed_where_layers_cross_attend_and_refused_elsewhere():
    with pytest.raises(ValueError, match="cross-attends to a memory, and was given none"):
        Decoder(TINY.decoder).init(jax.random.key(0), {"target": stream(0, 2)})
    with pytest.raises(ValueError, match="cross-attends to no memory, and was given one"):
        Decoder(TINY.encoder).init(jax.random.key(0), {"source": stream(0, 2)}, memory=stream(1, 2))


@pytest.mark.parametrize(
    ("size", "count"), [("small", 76_961_152), ("base", 247_577_856), ("large", 783_150_080)], ids=str
)
def test_flan_t5s_sizes_have_the_published_numbers_of_parameters(size, count):
    config = FLAN_T5[size]
    one = jnp.ones((1, 1), jnp.int32)
    probe = Stream(jnp.zeros((1, 1, config.width)), one, one, one > 0)
    shapes = [
        jax.eval_shape(T5(config).init, jax.random.key(0), probe, probe),
        jax.eval_shape(vocabulary(config, 32_128, 0).init, jax.random.key(0), one),
    ]
    assert sum(x.size for x in jax.tree.leaves(shapes)) == count


def test_fresh_kernels_start_by_their_fan_in():
    config = replace(TINY, width=64, heads=4, head_width=16, mlp_width=128).decoder
    wanted = {"q": (64 * 16) ** -0.5, "k": 64**-0.5, "o": 64**-0.5, "up": 64**-0.5, "down": 128**-0.5}
    inits = kernel_inits(config.streams[0], config)
    assert inits.keys() == wanted.keys()
    for name, std in wanted.items():
        assert float(inits[name](jax.random.key(0), (64, 128)).std()) == pytest.approx(std, rel=0.05)


@pytest.mark.parametrize(
    ("path", "shape", "wanted"),
    [
        ("t5/decoder/layers/target/cross/q/kernel", (2, 8, 4, 6), P(None, "fsdp", "tensor", None)),
        ("t5/encoder/layers/source/o/kernel", (2, 4, 6, 8), P(None, "tensor", None, "fsdp")),
        ("t5/encoder/relative/table", (32, 4), P(None, None)),
        ("vocabulary/table", (12, 8), P("tensor", "fsdp")),
        ("vocabulary/head", (12, 8), P("tensor", "fsdp")),
    ],
)
def test_heads_are_split_over_tensor_and_widths_over_fsdp(path, shape, wanted):
    mesh = AbstractMesh((2, 2, 2), ("data", "fsdp", "tensor"))
    assert spec(mesh, path, shape, DECODER_RULES) == wanted


def test_logits_of_an_untied_vocabulary_are_products_with_rows_of_their_own():
    hidden = jax.random.normal(jax.random.key(3), (2, TINY.width))
    table = parameters()["vocabulary"]
    found = vocabulary(TINY).apply({"params": table}, hidden, method="logits")
    rows = np.concatenate([table["head"], table["new_head"]])
    np.testing.assert_allclose(found[:, : IDS + NEW], hidden @ rows.T, atol=1e-5)
    np.testing.assert_array_equal(
        vocabulary(TINY).apply({"params": table}, jnp.array([2, IDS + 1])), [table["table"][2], table["new"][1]]
    )
