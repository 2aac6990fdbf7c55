import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.planning.memory_check import check_memory


def config(*overrides):
    return load_config("motiongpt3:test", ("run=('text',)", *overrides))


@pytest.mark.slow
def test_a_run_that_fits_says_nothing():
    assert check_memory(config(), capacity=2**30) == []


def test_a_step_that_may_not_fit_is_said_by_its_stage_and_what_to_change():
    (said,) = check_memory(config("stages.text.batch.rows=256"), capacity=2**26)
    assert said.startswith("stage 'text' takes about ")
    assert "--config.stages.text.optimizer.accumulate=" in said


def test_state_that_exceeds_a_device_ends_the_run_before_it_begins():
    with pytest.raises(UserError, match=r"parameters and optimizer state of stage 'text' take .* GiB of each device"):
        check_memory(config(), capacity=2**16)


def test_on_cpus_nothing_is_known_and_nothing_said():
    assert check_memory(config()) == []
