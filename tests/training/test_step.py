import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.parallel import make_mesh
from motiongpt3_jax.systems.interface import Tree
from motiongpt3_jax.training import Stage
from motiongpt3_jax.training.program import Program, make_program
from motiongpt3_jax.training.state import TrainState
from motiongpt3_jax.training.step import Report, make_train_step
from tests.training.toy import ToyData, ToySystem, Weights, adamw, stage

MESH = make_mesh(devices=jax.devices()[:1])


def begin(of: Stage, system: ToySystem) -> tuple[Program, TrainState, Tree]:
    variables = system.init(jax.random.key(0))
    program = make_program(system, of, MESH, 0, variables, ToyData().batch(0))
    return program, *program.start(variables)


def steps(count: int, system: ToySystem | None = None, **settings: object) -> tuple[TrainState, Report]:
    of = stage(**{"optimizer": adamw(learning_rate=1e-2), **settings})
    program, state, frozen = begin(of, system or ToySystem())
    for step in range(count):
        state, report = program.step(state, frozen, ToyData().batch(step))
    return state, report


def close(found: Tree, expected: Tree, tolerance: float) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), found, expected)


@pytest.mark.parametrize("pieces", [2, 4])
def test_accumulation_equals_one_piece_though_micro_batches_count_differently(pieces):
    whole, report = steps(3)
    found, found_report = steps(3, optimizer=adamw(learning_rate=1e-2, accumulate=pieces))
    close(found.params, whole.params, 1e-5)
    close(found.state, whole.state, 1e-5)  # it moves once a step, however many micro-batches measured it
    close(found_report.tally, report.tally, 1e-4)


def test_accumulation_does_not_compute_the_forward_pass_twice():
    of = stage(optimizer=adamw(accumulate=2))
    program, state, frozen = begin(of, ToySystem())
    text = program.step.lower(state, frozen, ToyData().batch(0)).compile().as_text()
    main = text[text.index("ENTRY") :]
    assert "tanh(" in text
    assert "tanh" not in main


def test_rows_that_do_not_divide_into_micro_batches_are_an_error():
    with pytest.raises(ValueError, match="4 rows do not divide into accumulate = 3"):
        steps(1, optimizer=adamw(accumulate=3))


def test_a_loss_knows_of_which_parameters_no_gradient_is_taken():
    told = []

    class Told(ToySystem):
        def fit(self, variables, *rest):
            told.append(variables.frozen)
            return super().fit(variables, *rest)

    of = stage(trainable=("head/.*",))
    _, state, frozen = begin(of, ToySystem())
    jax.eval_shape(make_train_step(Told(), of), state, frozen, ToyData().batch(0))
    assert set(told) == {frozenset(f"body/layers/text/{name}/kernel" for name in ("up", "down"))}


def test_frozen_parameters_have_no_optimizer_state():
    _, state, frozen = begin(stage(trainable=("head/.*",)), ToySystem())
    assert list(frozen) == ["body"]
    assert [x.shape for x in jax.tree.leaves(state.params)] == [(1,)]
    moments = [x.shape for x in jax.tree.leaves(state.optimizer) if x.ndim]
    assert moments == [(1,), (1,)]


def test_a_loss_that_is_not_finite_changes_nothing_but_the_step():
    good, _ = steps(1)
    bad, report = steps(2, ToySystem(poison=5))
    assert not report.finite
    assert int(bad.step) == 2
    for name in ("params", "state", "optimizer", "ema"):
        jax.tree.map(np.testing.assert_array_equal, getattr(bad, name), getattr(good, name))


def test_the_moving_average_follows_the_parameters():
    before = ToySystem().init(jax.random.key(0)).params["head"]["bias"]
    first, _ = steps(1, optimizer=adamw(learning_rate=1e-2, ema=0.9))
    expected = 0.1 * before + 0.9 * first.params["head"]["bias"]  # the decay starts at 1/10
    np.testing.assert_allclose(first.ema["head"]["bias"], expected, rtol=1e-5)


def test_a_tally_adds_up_over_an_interval_and_then_begins_anew():
    one, two, three = (steps(count, log_every=2)[1].tally["loss/fit"] for count in (1, 2, 3))
    assert two[1] > one[1]
    frames = float(ToyData().batch(2).clip_frames.sum())
    assert float(three[1]) == frames


def test_the_total_weighs_means():
    _, report = steps(1)
    (fit, frames), (small, rows) = report.tally["loss/fit"], report.tally["loss/small"]
    np.testing.assert_allclose(report.tally["loss"][0], fit / frames + 0.01 * small / rows, rtol=1e-6)


def test_the_state_is_donated():
    program, state, frozen = begin(stage(), ToySystem())
    memory = program.step.lower(state, frozen, ToyData().batch(0)).compile().memory_analysis()
    size = sum(x.nbytes for x in jax.tree.leaves(state))
    assert memory.alias_size_in_bytes >= size


def test_an_unweighed_term_is_an_error():
    @dataclasses.dataclass(frozen=True)
    class Partial(Weights):
        @property
        def term_weights(self) -> dict[str, float]:
            return {"fit": 1.0}

    with pytest.raises(ValueError, match=r"\['small'\], which its objective does not weigh"):
        steps(1, objective=Partial())


def test_an_unknown_loss_is_an_error():
    with pytest.raises(ValueError, match=r"asks for loss 'fat'; the system has \['fit'\]"):
        steps(1, loss="fat")


def test_single_keys_differ_between_micro_batches_and_sample_draws_do_not():
    class Keyed(ToySystem):
        def draw(self, key, batch, train):
            return super().draw(key, batch, train) | {"dropout": key}

        def fit(self, variables, batch, draws, objective):
            terms = super().fit(variables, batch, draws, objective)
            return terms.replace(metrics={"drawn": (jax.random.uniform(draws["dropout"]), jnp.ones(()))})

    settings = {"objective": Weights(), "optimizer": adamw(accumulate=2)}
    system, of = Keyed(), stage(**settings)
    variables = system.init(jax.random.key(0))
    program = make_program(system, of, MESH, 0, variables, ToyData().batch(0))
    state, frozen = program.start(variables)
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), 0)
    expected = sum(jax.random.uniform(jax.random.fold_in(key, i)) for i in range(2))
    _, report = jax.jit(make_train_step(system, of))(state, frozen, ToyData().batch(0))
    np.testing.assert_allclose(report.tally["drawn"][0], expected, rtol=1e-6)
