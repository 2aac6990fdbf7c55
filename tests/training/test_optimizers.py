import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from motiongpt3_jax.training import OptimizerConfig
from motiongpt3_jax.training.optimizers import learning_rate, make_optimizer
from tests.training.toy import adamw

PARAMS = {"body": {"kernel": jnp.array([1.0, -2.0])}, "head": {"bias": jnp.array([0.5])}}


def rates(config: OptimizerConfig, steps: int) -> np.ndarray:
    return np.array([learning_rate(config, steps)(jnp.int32(step)) for step in range(steps)])


def update(config: OptimizerConfig, gradients: dict) -> dict:
    optimizer = make_optimizer(config, 10)
    return optimizer.update(gradients, optimizer.init(PARAMS), PARAMS)[0]


@pytest.mark.parametrize(("steps", "warmup"), [(40, 2), (100_000, 1000)])
def test_a_warmup_without_a_length_takes_a_twentieth_of_the_stage_and_at_most_a_thousand_steps(steps, warmup):
    rate = learning_rate(adamw(learning_rate=1.0, warmup_steps=None), steps)
    assert rate(jnp.int32(warmup - 2)) < 1
    assert rate(jnp.int32(warmup - 1)) == 1


def test_warm_up_rises_in_equal_parts_and_moves_from_the_first_step():
    found = rates(adamw(learning_rate=1.0, warmup_steps=4), 6)
    np.testing.assert_allclose(found, [0.25, 0.5, 0.75, 1, 1, 1])


def test_cosine_falls_from_the_peak_to_the_final_rate_at_the_last_step():
    config = adamw(learning_rate=1.0, warmup_steps=2, schedule="cosine", final_learning_rate=0.2)
    np.testing.assert_allclose(rates(config, 7), [0.5, 1.0, 1.0, 0.882843, 0.6, 0.317157, 0.2], atol=1e-6)


def test_without_options_it_is_optax_adamw():
    gradients = {"body": {"kernel": jnp.array([0.3, -5.0])}, "head": {"bias": jnp.array([1e-3])}}
    expected = optax.adamw(1e-2, 0.9, 0.99, weight_decay=0.1)
    expected = expected.update(gradients, expected.init(PARAMS), PARAMS)[0]
    found = update(adamw(learning_rate=1e-2, b2=0.99, weight_decay=0.1), gradients)
    np.testing.assert_allclose(found["body"]["kernel"], expected["body"]["kernel"], rtol=1e-6)


def test_a_group_scales_the_rate_of_its_paths():
    gradients = {"body": {"kernel": jnp.array([1.0, 1.0])}, "head": {"bias": jnp.array([1.0])}}
    found = update(adamw(learning_rate=1e-2, groups=(("head/.*", 2.0), (".*", 1.0))), gradients)
    np.testing.assert_allclose(found["head"]["bias"], -2e-2, rtol=1e-5)
    np.testing.assert_allclose(found["body"]["kernel"], -1e-2, rtol=1e-5)


def test_a_group_that_matches_no_trainable_parameter_is_an_error():
    with pytest.raises(ValueError, match=r"'hand/\.\*' matches no trainable parameter"):
        make_optimizer(adamw(groups=(("hand/.*", 2.0),)), 1).init(PARAMS)


def test_clipping_bounds_the_norm_of_all_gradients_together():
    gradients = {"body": {"kernel": jnp.array([3.0, 0.0])}, "head": {"bias": jnp.array([4.0])}}
    optimizer = make_optimizer(adamw(clip_norm=1.0), 1)
    state = optimizer.update(gradients, optimizer.init(PARAMS), PARAMS)[1]
    clipped = optax.tree_utils.tree_get(state, "mu")["head"]["bias"] / 0.1
    np.testing.assert_allclose(clipped, 0.8, rtol=1e-5)


def muon_update(gradients: dict, steps: int = 1) -> dict:
    optimizer = make_optimizer(adamw(muon=(".*kernel",), learning_rate=1e-2, weight_decay=0.0), 10)
    params = jax.tree.map(jnp.zeros_like, gradients)
    state = optimizer.init(params)
    for _ in range(steps):
        updates, state = optimizer.update(gradients, state, params)
    return updates


def test_muon_moves_a_kernel_along_all_its_directions_alike():
    left, right = (np.linalg.qr(np.random.default_rng(i).normal(size=(8, 8)))[0] for i in (0, 1))
    gradient = left @ np.diag(np.geomspace(1, 0.1, 8)) @ right
    found = muon_update({"body": {"kernel": jnp.asarray(gradient, jnp.float32)}})["body"]["kernel"]
    sizes = np.linalg.svd(np.asarray(found), compute_uv=False)
    # Newton-Schulz steps bring singular values near 1, not to it; an update of Adam would keep their ratios near 10.
    assert sizes.max() / sizes.min() < 2
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(found))), 1e-2 * 0.2, rtol=0.2)


def test_muon_takes_each_of_stacked_layers_by_itself():
    first, second = np.random.default_rng(0).normal(size=(2, 6, 12)).astype(np.float32)
    both = muon_update({"kernel": jnp.stack([first, 100 * second])})["kernel"]
    for found, gradient in zip(both, (first, second)):
        np.testing.assert_allclose(found, muon_update({"kernel": jnp.asarray(gradient)})["kernel"], atol=1e-6)


def test_muon_leaves_biases_and_tables_to_adam():
    gradients = {"bias": jnp.array([0.3, -5.0]), "table": jnp.array([[1.0, 2.0], [3.0, 4.0]])}
    adam = optax.adam(1e-2).update(gradients, optax.adam(1e-2).init(gradients))[0]
    found = muon_update({**gradients, "kernel": jnp.eye(2)})
    for name in gradients:
        np.testing.assert_allclose(found[name], adam[name], rtol=1e-6)


def test_a_pattern_of_muon_that_matches_no_trainable_parameter_is_an_error():
    with pytest.raises(ValueError, match=r"'hand/\.\*' of `muon` matches no trainable matrix"):
        make_optimizer(adamw(muon=("hand/.*",)), 1).init(PARAMS)


def test_muon_is_for_matrices_alone():
    with pytest.raises(ValueError, match=r"'\.\*' of `muon` matches body/kernel of shape \(2,\), which is no matrix"):
        make_optimizer(adamw(muon=(".*",)), 1).init(PARAMS)


def test_muon_takes_queries_keys_and_values_of_a_layer_as_one_matrix():
    rng = np.random.default_rng(0)
    layers, width, heads, head_width = 2, 6, 3, 2
    q, k, v = rng.normal(size=(3, layers, width, heads, head_width)).astype(np.float32) * [
        [[[[1]]]],
        [[[[5]]]],
        [[[[9]]]],
    ]
    o = rng.normal(size=(layers, heads, head_width, width)).astype(np.float32)
    gradients = {name: {"kernel": jnp.asarray(x, jnp.float32)} for name, x in zip("qkvo", (q, k, v, o))}
    packed = {
        "qkv": {"kernel": jnp.concatenate([gradients[n]["kernel"].reshape(layers, width, -1) for n in "qkv"], axis=-1)},
        "out": {"kernel": jnp.asarray(o.reshape(layers, heads * head_width, width))},
    }
    found, wanted = muon_update(gradients, steps=2), muon_update(packed, steps=2)
    columns = np.split(np.asarray(wanted["qkv"]["kernel"]), 3, axis=-1)
    for name, update in zip("qkv", columns):
        np.testing.assert_allclose(found[name]["kernel"].reshape(update.shape), update, atol=1e-7)
    np.testing.assert_allclose(found["o"]["kernel"].reshape(layers, -1, width), wanted["out"]["kernel"], atol=1e-7)


def test_muon_takes_each_factor_of_an_adapter_as_one_matrix():
    rng = np.random.default_rng(0)
    layers, heads, head_width, rank = 2, 3, 2, 4
    a = jnp.asarray(rng.normal(size=(layers, heads, head_width, rank)), jnp.float32)
    b = jnp.asarray(rng.normal(size=(layers, rank, heads, head_width)), jnp.float32)
    factors = {"o": {"lora": {"x": {"a": a}}}, "q": {"lora": {"x": {"b": b}}}}
    flat = {"a": a.reshape(layers, -1, rank), "b": b.reshape(layers, rank, -1)}
    optimizers = (make_optimizer(adamw(muon=(pattern,), weight_decay=0.0), 10) for pattern in (".*/lora/.*", "[ab]"))
    found, wanted = (o.update(x, o.init(x), x)[0] for o, x in zip(optimizers, (factors, flat)))
    np.testing.assert_allclose(found["o"]["lora"]["x"]["a"].reshape(flat["a"].shape), wanted["a"], atol=1e-7)
    np.testing.assert_allclose(found["q"]["lora"]["x"]["b"].reshape(flat["b"].shape), wanted["b"], atol=1e-7)


def test_muons_momentum_lies_where_its_parameters_lie():
    optimizer = make_optimizer(adamw(muon=("k/kernel", "o/kernel"), learning_rate=1e-2), 10)
    params = {name: {"kernel": jnp.ones((2, 6, 3, 2))} for name in "qkvo"}
    state = optimizer.update(params, optimizer.init(params), params)[1]
    momentum = state[1].inner_states["muon"].inner_state[0].mu
    assert {path: x.shape for path, x in jax.tree.leaves_with_path(momentum)} == {
        (jax.tree_util.DictKey(name), jax.tree_util.DictKey("kernel")): (2, 6, 3, 2) for name in "ko"
    }
