import shutil

import jax
import numpy as np
import pytest

from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.training import Hooks, Stage, TrainingDiverged, restore_variables, run
from motiongpt3_jax.training.folders import steps_of
from tests.training.toy import ToyData, ToySystem, adamw, stage


def train(run_dir, *stages: Stage, system: ToySystem | None = None, **settings: object) -> list[str]:
    """Trains the toy; gives the lines shown."""
    lines: list[str] = []
    hooks = Hooks(show=lines.append, show_every=0, samples=settings.pop("samples", None))
    run(system or ToySystem(), stages, lambda stage: ToyData(), run_dir, hooks=hooks, **settings)
    return lines


def params(run_dir, of: str) -> dict:
    return restore_variables(run_dir, of, ema=False)[2].params


def test_each_stage_starts_where_the_one_before_ended_and_freezes_what_it_does_not_train(tmp_path):
    train(tmp_path, stage("one", trainable=("body/.*",), steps=4), stage("two", trainable=("head/.*",), steps=4))
    one, two, fresh = params(tmp_path, "one"), params(tmp_path, "two"), ToySystem().init(jax.random.key(0)).params
    jax.tree.map(np.testing.assert_array_equal, one["head"], fresh["head"])
    jax.tree.map(np.testing.assert_array_equal, one["body"], two["body"])
    assert two["head"]["bias"] != one["head"]["bias"]
    assert np.abs(one["body"]["layers"]["text"]["up"]["kernel"] - fresh["body"]["layers"]["text"]["up"]["kernel"]).max()


def test_a_finished_run_does_nothing(tmp_path):
    train(tmp_path, stage(steps=2))
    assert train(tmp_path, stage(steps=2)) == ["first is finished, at step 2 of 2"]


def test_what_is_done_is_read_anew_when_a_stage_begins(tmp_path):
    stages = stage("one", steps=2, sample_every=2), stage("two", steps=2)
    train(tmp_path / "other", *stages)

    def finish_the_next_stage(of: Stage, step: int, variables: Variables) -> None:
        shutil.copytree(tmp_path / "other/checkpoints/two", tmp_path / "run/checkpoints/two")

    lines = train(tmp_path / "run", *stages, samples=finish_the_next_stage)
    assert lines[-1] == "two is finished, at step 2 of 2"


def test_an_earlier_stage_made_longer_under_a_later_one_is_an_error(tmp_path):
    train(tmp_path, stage("one", steps=2), stage("two", steps=2))
    with pytest.raises(ValueError, match="'two' but stage 'one' before it ends at step 3 and got to 2"):
        train(tmp_path, stage("one", steps=3), stage("two", steps=2))


def test_a_stage_of_the_run_that_is_left_out_is_an_error_and_nothing_is_lost(tmp_path):
    train(tmp_path, stage("one", trainable=("head/.*",), steps=2))
    with pytest.raises(ValueError, match="holds the stage 'one', which is left out now, and a later stage would not"):
        train(tmp_path, stage("two", steps=2))
    assert restore_variables(tmp_path)[:2] == ("one", 2)
    assert '"one"' in (tmp_path / "metrics.jsonl").read_text()
    train(tmp_path, stage("one", trainable=("head/.*",), steps=2), stage("two", steps=2))
    assert train(tmp_path, stage("two", steps=2)) == ["two is finished, at step 2 of 2"]


def test_a_run_starts_from_given_variables(tmp_path):
    given = jax.tree.map(lambda x: x + 1, ToySystem().init(jax.random.key(5)))
    still = adamw(learning_rate=0.0)
    train(tmp_path, stage(steps=1, optimizer=still), initial=lambda key: given)
    jax.tree.map(np.testing.assert_array_equal, params(tmp_path, "first"), given.params)


def test_divergence_names_the_step_the_samples_and_the_last_good_checkpoint(tmp_path):
    with pytest.raises(TrainingDiverged) as stopped:
        train(tmp_path, stage(), system=ToySystem(poison=4 * 12 + 1))
    message = str(stopped.value)
    assert "stage 'first' is not finite at step 13, with samples toy48, toy49, toy50, toy51;" in message
    assert f"last good checkpoint: {tmp_path}/checkpoints/first/10." in message
    assert steps_of(tmp_path, "first")[-1] == 10


def test_samples_are_asked_for_with_the_moving_average(tmp_path):
    seen: list[tuple[str, int, float]] = []

    def sample(of: Stage, step: int, variables: Variables) -> None:
        seen.append((of.name, step, float(variables.params["head"]["bias"][0])))

    train(tmp_path, stage(steps=4, sample_every=2), samples=sample)
    assert [entry[:2] for entry in seen] == [("first", 2), ("first", 4)]
    assert seen[-1][2] == float(restore_variables(tmp_path)[2].params["head"]["bias"][0])


def test_validation_is_shown_and_marks_the_best(tmp_path):
    lines = train(tmp_path, stage(steps=10, evaluate_every=5, keep=1))
    assert sum("validation loss" in line for line in lines) == 2
    assert restore_variables(tmp_path, which="best")[1] in (5, 10)


def test_an_unknown_best_number_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"goes by 'fid'; validation has \['far', "):
        train(tmp_path, stage(steps=1, best="fid"))


def test_the_toy_learns(tmp_path):
    lines = train(tmp_path, stage(steps=200, log_every=20, checkpoint_every=200, optimizer=adamw(learning_rate=1e-1)))
    losses = [float(line.split("loss ")[1].split()[0]) for line in lines if "loss " in line]
    assert losses[-1] < 0.7 * losses[0]
