import json

import jax
import numpy as np
import pytest

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.training import restore_params, restore_variables
from motiongpt3_jax.training.checkpoints import Checkpoints, mend_checkpoints
from motiongpt3_jax.training.folders import steps_of
from motiongpt3_jax.training.program import make_program
from tests.training.test_step import MESH
from tests.training.toy import ToyData, ToySystem, stage

LOSSES = {1: 3.0, 2: 1.0, 3: 2.0, 4: None, 5: None}


@pytest.fixture
def program():
    system = ToySystem()
    return make_program(system, stage(), MESH, 0, system.init(jax.random.key(0)), ToyData().batch(0))


@pytest.fixture
def written(tmp_path, program):
    """Five checkpoints of a stage that keeps the last two, the best, and multiples of three."""
    state, _ = program.start(ToySystem().init(jax.random.key(0)))
    with Checkpoints(tmp_path, stage(keep_every=3)) as checkpoints:
        for step, loss in LOSSES.items():
            moved = state.replace(
                params=jax.tree.map(lambda x, step=step: x + step, state.params),
                ema=jax.tree.map(lambda x, step=step: x - step, state.params),
            )
            validation = None if loss is None else {"loss": loss}
            assert checkpoints.is_best(validation) == (step in (1, 2))
            checkpoints.save(step, moved, validation)
    return tmp_path


def test_the_last_the_best_and_every_nth_stay(written):
    assert steps_of(written, "first") == [2, 3, 4, 5]


@pytest.mark.parametrize(("which", "step"), [("last", 5), ("best", 2)])
@pytest.mark.parametrize(("ema", "sign"), [(False, 1), (True, -1)])
def test_inference_restores_parameters_alone(written, which, step, ema, sign):
    stage_name, found_step, params = restore_params(written, which=which, ema=ema)
    fresh = ToySystem().init(jax.random.key(0)).params
    assert (stage_name, found_step) == ("first", step)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b + sign * step), params, fresh)


def test_a_checkpoint_gives_back_every_bit(tmp_path, program):
    state, frozen = program.start(ToySystem().init(jax.random.key(0)))
    for step in range(3):
        state, _ = program.step(state, frozen, ToyData().batch(step))
    with Checkpoints(tmp_path, stage()) as checkpoints:
        checkpoints.save(3, state, None)
        checkpoints.wait()
        found = checkpoints.restore(3, program.state, program.frozen, program.stored)
    jax.tree.map(np.testing.assert_array_equal, found, (state, frozen))


def test_a_checkpoint_holds_what_the_step_before_saving_made_though_training_went_on(tmp_path, program):
    state, frozen = program.start(ToySystem().init(jax.random.key(0)))
    with Checkpoints(tmp_path, stage()) as checkpoints:
        for step in range(8):
            state, _ = program.step(state, frozen, ToyData().batch(step))
            if step == 3:
                expected = jax.device_get(jax.tree.map(lambda x: x + 0, state.params))
                checkpoints.save(4, state, None)
    found = restore_params(tmp_path, ema=False)[2]
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_half_written_checkpoint_is_not_read_and_goes_away(written):
    halves = [written / "checkpoints" / name / "6.orbax-checkpoint-tmp" for name in ("first", "an_earlier_one")]
    for half in halves:
        half.mkdir(parents=True)
    assert steps_of(written, "first")[-1] == 5
    assert restore_variables(written)[1] == 5
    mend_checkpoints(written, ["first"], pytest.fail)
    assert not any(half.exists() for half in halves)


def test_without_a_validation_there_is_no_best(tmp_path, program):
    state, _ = program.start(ToySystem().init(jax.random.key(0)))
    with Checkpoints(tmp_path, stage()) as checkpoints:
        checkpoints.save(1, state, None)
    with pytest.raises(FileNotFoundError, match=r"no checkpoint in .* has a validation result"):
        restore_params(tmp_path, which="best")


def test_the_last_stage_by_place_is_restored(written, program):
    state, _ = program.start(ToySystem().init(jax.random.key(0)))
    with Checkpoints(written, stage("a_later_one"), place=1) as checkpoints:
        checkpoints.save(1, state, None)
    assert restore_variables(written)[:2] == ("a_later_one", 1)
    assert restore_variables(written, "first")[:2] == ("first", 5)


def test_a_run_without_checkpoints_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint of any stage"):
        restore_params(tmp_path)


def test_a_stage_that_now_trains_other_parameters_is_an_error(written):
    system, changed = ToySystem(), stage(trainable=("head/.*",))
    program = make_program(system, changed, MESH, 0, system.init(jax.random.key(0)), ToyData().batch(0))
    with (
        Checkpoints(written, changed) as checkpoints,
        pytest.raises(UserError, match=r"with trainable=\['\.\*'\], the stage now has trainable=\['head/\.\*'\]; cont"),
    ):
        checkpoints.restore(5, program.state, program.frozen, program.stored)


def test_validation_is_kept_beside_the_parameters(written):
    meta = json.loads((written / "checkpoints/first/2/meta/metadata").read_text())
    assert meta["validation"] == {"loss": 1.0}
