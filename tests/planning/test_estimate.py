import math

import jax
import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.parallel.mesh import make_abstract_mesh
from motiongpt3_jax.planning.chips import Slice
from motiongpt3_jax.planning.estimate import estimate_step, trace_step
from motiongpt3_jax.planning.stage_program import model_spec
from motiongpt3_jax.planning.step_time import collective_seconds

CHIPS = Slice.of("v5e:2x2")


def checked(*overrides):
    return check_config(plain(load_config("motiongpt3:test", overrides).to_dict()))


def trace(rows=4, *overrides):
    config = checked("model.dtype=bfloat16", "mesh.whole_below=0", *overrides)
    return trace_step(config, "text", model_spec(config), rows)


@pytest.fixture(scope="module")
def traced():
    return trace()


def estimate(traced, **axes):
    return estimate_step(traced, make_abstract_mesh(4, **axes), CHIPS)


def numbers(tree):
    return sum(math.prod(x.shape) for x in jax.tree.leaves(tree))


def test_parameters_and_optimizer_state_are_exact(traced):
    whole, split = estimate(traced, data=4), estimate(traced, data=1, fsdp=4)
    params = 4 * numbers(traced.state.params)
    assert whole.memory.parameters == params
    assert whole.memory.optimizer == sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(traced.state.optimizer))
    assert params / 4 <= split.memory.parameters < params
    assert split.memory.peak < whole.memory.peak


def test_gradients_are_summed_over_the_rows_and_split_weights_gathered_for_both_passes(traced):
    (summed,) = estimate(traced, data=4).collectives
    trained = numbers(traced.state.params)
    assert (summed.kind, summed.group, summed.bytes) == ("all-reduce", 4, 2 * trained)
    kinds = {(one.kind, one.group): one.bytes for one in estimate(traced, data=2, fsdp=2).collectives}
    assert set(kinds) == {("all-gather", 2), ("reduce-scatter", 2), ("all-reduce", 2), ("all-reduce", 4)}
    assert kinds["all-reduce", 2] == pytest.approx(kinds["reduce-scatter", 2] / 2, abs=2)
    assert kinds["reduce-scatter", 2] + kinds["all-reduce", 4] == pytest.approx(2 * trained, abs=4)


def test_slices_sum_each_chips_share_of_the_gradients_between_them(traced):
    two = estimate_step(traced, make_abstract_mesh(4, data=4), Slice.of("2xv5e:1x2"))
    kinds = {(one.kind, one.group): one.bytes for one in two.collectives}
    trained = numbers(traced.state.params)
    assert kinds == {("all-reduce", 2): 2 * trained, ("between-slices", 2): trained}
    assert two.time.collectives == pytest.approx(
        sum(collective_seconds(one, Slice.of("2xv5e:1x2")) for one in two.collectives)
    )


def test_time_is_the_longer_of_products_and_memory_and_the_sums_that_nothing_hides(traced):
    found = estimate(traced, data=4)
    assert found.time.collectives == pytest.approx(sum(collective_seconds(one, CHIPS) for one in found.collectives))
    assert found.time.products == pytest.approx(traced.flops / (0.7 * CHIPS.chip.flops))
    assert found.time.memory == pytest.approx(found.cost.bytes / CHIPS.chip.hbm_rate)
    split = estimate(traced, data=1, fsdp=4)
    assert split.time.hidden > 0


@pytest.mark.slow
def test_recomputation_takes_less_memory_and_more_products_and_gathers(traced):
    less = trace(4, "model.decoder.remat=full", "model.decoder.scan=True", "model.decoder.layers=4")
    more = trace(4, "model.decoder.scan=True", "model.decoder.layers=4")
    assert less.flops > 1.1 * more.flops
    assert estimate(less, data=4).memory.temporaries < estimate(more, data=4).memory.temporaries

    def gathered(traced):
        return sum(one.bytes for one in estimate(traced, data=1, fsdp=4).collectives if one.kind == "all-gather")

    assert gathered(less) == pytest.approx(1.5 * gathered(more), abs=8)
