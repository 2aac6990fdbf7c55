import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.training import Hooks, restore_variables, run
from motiongpt3_jax.training.checkpoints import read_item
from motiongpt3_jax.training.moments import round_stochastically
from motiongpt3_jax.training.optimizers import make_optimizer
from tests.training.toy import ToyData, ToySystem, adamw, stage

PARAMS = {"body": {"kernel": jnp.ones((4, 300))}, "head": {"bias": jnp.zeros(3)}}


def moments(optimizer_state) -> dict[str, str]:
    """Dtypes of the moments, by kind and the parameter's path."""
    found = {name: optax.tree.get(optimizer_state, name) for name in ("mu", "nu")}
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): str(x.dtype)
        for path, x in jax.tree.leaves_with_path(found)
    }


def test_each_moment_has_the_dtype_of_the_first_pattern_that_matches_it():
    config = adamw(moments=(("mu/head/.*", "float32"), ("mu/.*", "bfloat16"), (".*/kernel", "bfloat16")))
    optimizer = make_optimizer(config, 10)
    state = optimizer.init(PARAMS)
    updates, after = jax.jit(optimizer.update)(PARAMS, state, PARAMS)
    expected = {"mu/body/kernel": "bfloat16", "mu/head/bias": "float32"}
    expected |= {"nu/body/kernel": "bfloat16", "nu/head/bias": "float32"}
    assert moments(state) == moments(after) == expected
    assert {x.dtype for x in jax.tree.leaves(updates)} == {jnp.dtype("float32")}


def test_without_patterns_nothing_changes():
    plain, none = (make_optimizer(config, 10).init(PARAMS) for config in (adamw(), adamw(moments=())))
    assert jax.tree.structure(plain) == jax.tree.structure(none)
    halved = make_optimizer(adamw(moments=((".*", "bfloat16"),)), 10).init(PARAMS)
    assert jax.tree.structure(plain) == jax.tree.structure(halved)


def test_muons_momentum_has_a_dtype_too():
    config = adamw(muon=("body/.*",), moments=(("mu/body/.*", "bfloat16"),))
    optimizer = make_optimizer(config, 10)
    _, state = optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS)
    dtypes = {
        path[-1].key: x.dtype
        for path, x in jax.tree.leaves_with_path(state)
        if getattr(path[-1], "key", "") in ("kernel", "bias")
    }
    assert dtypes == {"kernel": jnp.bfloat16, "bias": jnp.float32}


def test_a_pattern_that_matches_no_moment_is_an_error():
    with pytest.raises(UserError, match=r"'nu/hand/\.\*' of `moments` matches no moment, such as mu/body/kernel"):
        make_optimizer(adamw(moments=(("nu/hand/.*", "bfloat16"),)), 1).init(PARAMS)


def test_rounding_keeps_the_mean_and_goes_to_a_neighbour():
    x = jnp.full((64, 1000), 1 + 1 / 512)  # a quarter of the way from 1 to its neighbour 1 + 1 / 128
    found = [np.asarray(round_stochastically(x, jnp.int32(step), 7), np.float32) for step in range(3)]
    for values in found:
        assert set(np.unique(values)) == {1.0, 1 + 1 / 128}
        assert np.mean(values > 1) == pytest.approx(0.25, abs=0.01)
        # No stripes along either axis.
        assert np.mean(values > 1, axis=0).std() < 0.07
        assert np.mean(values > 1, axis=1).std() < 0.03
    assert np.mean(found[0] == found[1]) == pytest.approx(0.25**2 + 0.75**2, abs=0.02)
    exact = jnp.array([0.0, -1.5, jnp.inf, -jnp.inf])
    np.testing.assert_array_equal(round_stochastically(exact, jnp.int32(0), 7).astype(jnp.float32), exact)
    assert jnp.isnan(round_stochastically(jnp.array(jnp.nan), jnp.int32(0), 7))


def test_a_mean_of_squares_in_bfloat16_falls_though_a_step_moves_it_by_less_than_a_digit():
    optimizer = make_optimizer(adamw(b2=0.999, moments=(("nu/.*", "bfloat16"),)), 10)
    state = optimizer.init(PARAMS)
    start = optax.tree.get(state, "nu")
    state = optax.tree.set(state, nu=jax.tree.map(jnp.ones_like, start))
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)

    @jax.jit
    def later(state):
        return jax.lax.fori_loop(0, 1000, lambda _, state: optimizer.update(zeros, state, PARAMS)[1], state)

    found = optax.tree.get(later(state), "nu")["body"]["kernel"].astype(jnp.float32)
    assert float(found.mean()) == pytest.approx(0.999**1000, rel=0.02)


@pytest.mark.slow
def test_a_run_goes_on_in_another_dtype_and_ends_near_where_it_would_have(tmp_path):
    def train(name: str, steps: int, **options: object) -> None:
        config = adamw(learning_rate=1e-2, **options)
        quiet = Hooks(show=lambda line: None)
        run(ToySystem(), [stage(steps=steps, optimizer=config)], lambda stage: ToyData(), tmp_path / name, hooks=quiet)

    train("whole", 10)
    train("changed", 5)
    train("changed", 10, moments=((".*", "bfloat16"),))
    written = read_item(tmp_path / "changed/checkpoints/first/10/progress")["optimizer"]
    kinds = {str(x.dtype) for path, x in jax.tree.leaves_with_path(written) if "kernel" in jax.tree_util.keystr(path)}
    assert kinds == {"bfloat16"}
    whole, changed = (restore_variables(tmp_path / name)[2].params for name in ("whole", "changed"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3), whole, changed)
    # The same command gives the same bits: chance is a function of the step.
    train("again", 5)
    train("again", 10, moments=((".*", "bfloat16"),))
    jax.tree.map(np.testing.assert_array_equal, changed, restore_variables(tmp_path / "again")[2].params)
