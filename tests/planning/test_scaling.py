from dataclasses import replace

import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.planning import scaling as module
from motiongpt3_jax.planning.chips import CHIPS, Slice
from motiongpt3_jax.planning.describe import describe_scaling
from motiongpt3_jax.planning.results import Plan, StepTime
from motiongpt3_jax.planning.scaling import network_seconds, plan_scaling
from tests.planning.test_advice import stage

OPTIONS = {"stage": "text", "platform": "estimate"}


def plan_of(config, topology, *, name, mesh, **options):
    """A plan of a step that takes as long as its rows, and a fifth of a second for gradients of 3 GB."""
    chips, rows = Slice.of(topology).chips, config.stages.text.batch.rows
    seconds = StepTime(0.1 * rows, 0.05, 0.2, 0.0)
    made = replace(
        stage("text", peak=10.0),
        rows=rows * chips,
        chips=chips,
        time=seconds,
        mfu=0.1 / seconds.total,
        samples_per_second=rows * chips / seconds.total,
        collectives={"all-reduce": 3e9},
    )
    return Plan(name, topology, "estimate", {"data": chips, **mesh}, {"text": made}, "fast", ())


@pytest.fixture
def quick(monkeypatch):
    """Nothing is traced: each slice has the plan above."""
    monkeypatch.setattr(module, "plan", plan_of)


@pytest.fixture
def scaling(quick):
    return plan_scaling("motiongpt3:test", ["v5e:16x32", "v5e:4x4", "v5e:2x2", "v5e:16x16"], **OPTIONS)


def points(scaling, kind):
    return {point.topology: point for point in scaling.points if point.kind == kind}


def test_weak_scaling_keeps_the_rows_of_a_chip(scaling):
    weak = points(scaling, "weak")
    rows = {name: point.rows for name, point in weak.items()}
    # The config's 2 rows are less than one for each of 4 chips.
    assert rows == {"v5e:2x2": 4, "v5e:4x4": 16, "v5e:16x16": 256, "v5e:16x32": 512}
    assert weak["v5e:4x4"].step_seconds == weak["v5e:2x2"].step_seconds == pytest.approx(0.3)
    assert weak["v5e:4x4"].efficiency == 1


def test_strong_scaling_keeps_the_rows_of_the_batch_and_leaves_out_parts_of_rows(quick):
    config = load_config("motiongpt3:test", ("mesh.rows=per_shard", "stages.text.batch.rows=4"))
    strong = points(plan_scaling(config, ["v5e:2x2", "v5e:2x4", "v5e:4x4", "v5e:8x8"], **OPTIONS), "strong")
    assert {name: point.rows for name, point in strong.items()} == {"v5e:2x2": 16, "v5e:2x4": 16, "v5e:4x4": 16}
    assert strong["v5e:4x4"].step_seconds == pytest.approx(0.1 + 0.2)
    assert strong["v5e:4x4"].efficiency == pytest.approx((0.4 + 0.2) / (4 * (0.1 + 0.2)))


def test_more_chips_than_a_pod_has_are_several_slices_that_sum_over_the_network(scaling):
    weak = points(scaling, "weak")
    pod, more = weak["v5e:16x16"], weak["v5e:16x32"]
    assert (pod.extrapolated, more.extrapolated) == (False, True)
    assert more.step_seconds > pod.step_seconds
    assert more.samples_per_second == pytest.approx(2 * pod.samples_per_second * pod.step_seconds / more.step_seconds)
    assert more.mfu < pod.mfu
    said = describe_scaling(scaling)
    assert "several slices of the largest above" in said
    assert said.count("  extrapolated") == 1


def test_several_slices_that_are_named_so_are_planned_themselves(quick):
    named = plan_scaling("motiongpt3:test", ["v5e:16x16", "4xv5e:16x16"], **OPTIONS)
    weak = points(named, "weak")
    assert (weak["4xv5e:16x16"].chips, weak["4xv5e:16x16"].extrapolated) == (1024, False)


def test_each_chip_sends_and_gets_its_share_of_the_gradients():
    pod = Slice.of("v5e:16x16")
    share = 512e6 / 256
    collectives = {"all-reduce": 500e6, "reduce-scatter": 12e6, "all-gather": 1e9}
    assert network_seconds(collectives, pod, 1) == 0
    assert network_seconds(collectives, pod, 4) == pytest.approx(2 * 0.75 * share / CHIPS["v5e"].network)


@pytest.mark.parametrize(
    ("slices", "more", "said"),
    [
        (["v5e:4x4", "v6e:4x4"], {}, "name slices of one generation"),
        (["v5e:32x32"], {}, "a pod has 256 chips; name a slice of it that divides these as well"),
        (["v5e:4x4"], {"mesh": {"data": 16}}, "leave data out of --mesh"),
        (["v5e:4x4"], {"stage": None}, "--scaling looks at one stage: add --stage with one of vae"),
    ],
)
def test_what_cannot_be_compared_is_refused(slices, more, said):
    with pytest.raises(UserError, match=said):
        plan_scaling("motiongpt3:test", slices, **{**OPTIONS, **more})


@pytest.mark.slow
def test_a_real_step_scales_to_a_pod():
    found = plan_scaling("motiongpt3:test", ["v5e:4x4", "v5e:16x16"], **OPTIONS)
    weak = points(found, "weak")
    assert weak["v5e:16x16"].efficiency > 0.9
    assert weak["v5e:16x16"].mfu == pytest.approx(weak["v5e:4x4"].mfu * weak["v5e:16x16"].efficiency, rel=0.01)
