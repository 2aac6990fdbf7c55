"""The decoder's own promises: what sees what, packing, and that options change no parameter."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models import Decoder, Stream, StreamConfig
from motiongpt3_jax.models.dense_heads import HeadParams, dense_to_heads
from tests.models.tiny import CONFIG, NARROW, PLACES, parameters, sequence, stream
from tests.quick import one_quick


@partial(jax.jit, static_argnames="config")
def run(streams, config=CONFIG, params=None, **options):
    return Decoder(config).apply({"params": parameters() if params is None else params}, streams, **options)


@partial(jax.jit, static_argnums=0)
def gradients(config, params, streams, place):
    """Of a weighted sum of the outputs at `place`, by the inputs; a plain sum would vanish behind the norm."""

    def probe(inputs):
        hidden = run({n: s.replace(embeddings=inputs[n]) for n, s in streams.items()}, config, params)
        here = {n: streams[n].positions == place for n in hidden}
        return sum(
            jnp.sum(x[..., :1] ** 3 * here[n][..., None] + 2 * x[..., 1:2] * here[n][..., None])
            for n, x in hidden.items()
        )

    return jax.grad(probe)({n: s.embeddings for n, s in streams.items()})


def influence(config, place):
    """{position: how much its input moves the output at `place`}, over both streams."""
    found = gradients(config, parameters(), sequence(), place)
    return {p: float(jnp.abs(found[n][0, i]).max()) for n in PLACES for i, p in enumerate(PLACES[n])}


@pytest.mark.parametrize("place", range(6))
def test_a_place_depends_on_itself_and_what_came_before_in_both_streams_alone(place):
    found = influence(CONFIG, place)
    assert all(found[p] > 1e-6 for p in range(place + 1)), found
    assert all(found[p] == 0 for p in range(place + 1, 6)), found


@pytest.mark.parametrize("place", range(6))
def test_layers_that_share_nothing_see_their_own_streams_places_alone(place):
    found = influence(replace(CONFIG, shared=(False, False)), place)
    mine = PLACES["text"] if place in PLACES["text"] else PLACES["motion"]
    assert all(found[p] > 1e-6 for p in mine if p <= place), found
    assert all(found[p] == 0 for p in range(6) if p not in mine or p > place), found


def test_streams_that_share_nothing_give_what_each_gives_alone():
    config, streams = replace(CONFIG, shared=(False, False)), sequence()
    together = run(streams, config)
    for name in streams:
        np.testing.assert_allclose(run({name: streams[name]}, config)[name], together[name], atol=1e-5)


@pytest.mark.parametrize("shared", [(True, False), (False, True)])
def test_one_shared_layer_is_enough_to_see_the_other_stream(shared):
    assert influence(replace(CONFIG, shared=shared), 5)[2] > 1e-6


@one_quick("config", [CONFIG, NARROW, replace(CONFIG, shared=(True, False))], ids=["", "narrow", "apart"])
def test_samples_packed_in_a_row_give_what_they_give_alone(config):
    params, one = parameters(config), sequence(0, config)
    two = sequence(7, config, {"text": [1, 2], "motion": [0, 3]})

    def join(a, b):
        parts = [
            jnp.concatenate([x, y], axis=1)
            for x, y in (
                (a.embeddings, b.embeddings),
                (a.positions, b.positions),
                (a.segments, 2 * b.segments),
                (a.attended, b.attended),
            )
        ]
        return Stream(*parts)

    packed = run({n: join(one[n], two[n]) for n in one}, config, params)
    for name in one:
        slots = one[name].positions.shape[1]
        np.testing.assert_allclose(packed[name][:, :slots], run(one, config, params)[name], atol=1e-5)
        np.testing.assert_allclose(packed[name][:, slots:], run(two, config, params)[name], atol=1e-5)


def test_a_slot_that_is_not_attended_moves_no_other():
    streams = sequence()
    hidden = streams["text"].replace(attended=jnp.array([[True, False, True, True]]))
    moved = hidden.replace(embeddings=hidden.embeddings.at[0, 1].multiply(-1.0))
    before, after = (run({**streams, "text": s})["text"] for s in (hidden, moved))
    np.testing.assert_array_equal(before[0, [0, 2, 3]], after[0, [0, 2, 3]])
    assert jnp.abs(before[0, 1] - after[0, 1]).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"scan": False}, {"remat": "full"}, {"remat": "dots_no_batch"}], ids=str)
def test_scan_and_remat_change_neither_parameters_nor_results(options):
    config = replace(CONFIG, **options)
    shapes = [jax.eval_shape(Decoder(c).init, jax.random.key(0), sequence()) for c in (config, CONFIG)]
    assert shapes[0] == shapes[1]

    def loss(params, config):
        return sum(jnp.sum(h**3) for h in run(sequence(), config, params).values())

    found = jax.jit(jax.value_and_grad(loss), static_argnums=1)
    for ours, wanted in zip(found(parameters(), config), found(parameters(), CONFIG)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), ours, wanted)


def test_bfloat16_computes_near_float32_over_float32_parameters():
    config = replace(CONFIG, dtype="bfloat16")
    init = jax.eval_shape(lambda k: Decoder(config).init(k, sequence()), jax.random.key(0))["params"]
    assert {x.dtype for x in jax.tree.leaves(init)} == {jnp.dtype("float32")}
    for name, hidden in run(sequence(), config).items():
        assert hidden.dtype == jnp.float32
        assert float(jnp.abs(hidden - run(sequence())[name]).max()) < 0.2


def test_dropout_acts_only_when_asked():
    streams = sequence()

    @partial(jax.jit, static_argnums=0)
    def train(config, key):
        apply = Decoder(config).apply
        return apply({"params": parameters()}, streams, deterministic=False, rngs={"dropout": key})["text"]

    first, second = (train(CONFIG, key) for key in jax.random.split(jax.random.key(5)))
    assert float(jnp.abs(first - second).max()) > 1e-3
    none = train(replace(CONFIG, dropout=0.0), jax.random.key(5))
    np.testing.assert_allclose(none, run(streams)["text"], atol=1e-6)


def test_streams_of_one_width_share_positions_and_another_width_has_its_own():
    assert set(parameters()["positions"]) == {"text"}
    assert {n: x.shape for n, x in parameters(NARROW)["positions"].items()} == {"text": (16, 8), "motion": (16, 4)}


@pytest.mark.parametrize("biases", [True, False])
def test_projections_as_one_product_are_those_apart(biases):
    rng = np.random.default_rng(0)
    x, kernels = rng.normal(size=(2, 3, 6)), rng.normal(size=(3, 6, 2, 4))
    weights = [HeadParams(kernel, rng.normal(size=(2, 4)) if biases else None) for kernel in kernels]
    for joined in (True, False):
        for found, (kernel, bias, _) in zip(dense_to_heads(x, weights, "float32", joined), weights):
            wanted = np.einsum("bsw,whd->bshd", x, kernel) + (bias if biases else 0)
            np.testing.assert_allclose(found, wanted.swapaxes(1, 2), atol=1e-5)


def test_weights_start_as_gpt2s():
    config = replace(
        CONFIG, streams=(StreamConfig("text", 64, 256), StreamConfig("motion", 64, 256)), heads=4, head_width=16
    )
    init = jax.jit(lambda k: Decoder(config).init(k, sequence(config=config)))(jax.random.key(0))["params"]
    for block in init["layers"].values():
        found = {name: float(block[name]["kernel"].std()) for name in ("q", "k", "v", "o", "up", "down")}
        wanted = {**dict.fromkeys(("q", "k", "v", "o", "up"), 0.02), "down": 0.02 / (2 * config.layers) ** 0.5}
        assert found == pytest.approx(wanted, rel=0.05)
        assert not any(block[name]["bias"].any() for name in block)
    assert float(init["positions"]["text"].std()) == pytest.approx(0.02, rel=0.1)


def test_a_mesh_can_pin_rows_heads_and_the_mlp_and_their_parameters():
    seen = set()

    def constrain(name, x):
        seen.add((name, x.ndim))
        return x

    Decoder(CONFIG, constrain).apply({"params": parameters()}, sequence())
    activations = {("activation", 3), ("heads", 3), ("mlp", 3), ("joined", 3), ("positions", 2)}
    weights = {("heads/kernel", 2), ("heads/bias", 1), ("mlp/kernel", 2), ("mlp/bias", 1), ("joined/bias", 1)}
    assert seen == activations | weights | {("joined/kernel", 2), ("joined/kernel", 3)}


def test_what_does_not_fit_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"given the streams \['speech'\]; it has \['motion', 'text'\]"):
        run({"speech": stream(0, [0])})
    with pytest.raises(ValueError, match="'text' is 5 wide; the decoder's is 8 wide"):
        run({"text": stream(0, [0], 5)})
    with pytest.raises(ValueError, match="3 entries say which of 2 layers"):
        replace(CONFIG, shared=(True,) * 3)
    with pytest.raises(ValueError, match="each another name"):
        replace(CONFIG, streams=CONFIG.streams[:1] * 2)


def test_a_stream_with_the_weights_of_another_is_a_copy_of_its_branch():
    first, second = CONFIG.streams
    equal = replace(second, width=first.width, mlp_width=first.mlp_width)
    two, one = (replace(CONFIG, streams=(first, replace(equal, weights=weights))) for weights in (None, first.name))
    given = sequence()
    given[second.name] = given[second.name].replace(
        embeddings=given[first.name].embeddings[:, : given[second.name].positions.shape[1]]
    )
    params = Decoder(one).init(jax.random.key(0), given)["params"]
    assert {*params["layers"], *params["final_norm"]} == {first.name}
    copied = {
        **params,
        **{part: {name: params[part][first.name] for name in PLACES} for part in ("layers", "final_norm")},
    }
    found, expected = run(given, one, params), run(given, two, copied)
    for name in PLACES:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-6)


def test_a_stream_cannot_use_weights_of_another_width():
    first, second = NARROW.streams
    with pytest.raises(UserError, match="give it the same widths"):
        replace(NARROW, streams=(first, replace(second, weights=first.name)))
