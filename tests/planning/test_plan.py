"""Plans by the command, each in a process of its own: how many devices there are is fixed when JAX begins."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.parallel.mesh import make_abstract_mesh
from motiongpt3_jax.planning.chips import CHIPS, Slice
from motiongpt3_jax.planning.estimate import estimate_step, trace_step
from motiongpt3_jax.planning.make_plan import parse_pairs, plan
from motiongpt3_jax.planning.stage_program import model_spec

ROOT = Path(__file__).parents[2]
REQUIRED = "MOTION_TPU_REQUIRED"
"""Set where libtpu must be there: then these tests fail without it."""

TOP = ("fits", "peak_bytes_per_chip", "hbm_bytes_per_chip", "collectives", "mfu", "samples_per_second", "bound")


def planned(tmp_path, *arguments):
    """(output, JSON) of `motiongpt3 plan`."""
    command = [sys.executable, "-m", "motiongpt3_jax", "plan", *arguments, "--json", str(tmp_path / "plan.json")]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    options = ("--config", "motiongpt3:test", "--stage", "text", "--topology", "v5e:2x2", "--mesh", "data=2,fsdp=2")
    more = ("--platform", "cpu", "--show-shardings", "--config.mesh.rows=per_shard", "--config.mesh.whole_below=0")
    return planned(tmp_path_factory.mktemp("plan"), *options, *more)


def test_model_flops_are_those_of_the_compiled_program_within_a_tenth(simulated):
    _, found = simulated
    assert found["model_flops"] == pytest.approx(4 * found["flops_per_chip"], rel=0.1)
    assert 0.2 * found["model_flops"] < found["useful_flops"] < found["model_flops"]


def test_simulated_devices_give_shardings_and_collectives_and_no_time(simulated):
    said, found = simulated
    assert all(name in found for name in TOP)
    assert found["mesh"] == {"data": 2, "fsdp": 2, "tensor": 1}
    assert found["rows"] == 8
    assert found["fits"] is None
    assert found["time"] is None
    assert found["mfu"] is None
    assert "nothing is said of time" in said
    assert found["collectives"]["all-gather"] > 0
    assert "decoder/layers/text/up/kernel" in said
    arrays = {row["path"]: row for row in found["stages"]["text"]["arrays"]}
    kernel = arrays["decoder/layers/text/up/kernel"]
    assert "fsdp" in kernel["split"]
    assert kernel["bytes_per_chip"] == 4 * 2 * 32 * 128 / 2
    held = sum(row["bytes_per_chip"] for row in arrays.values() if row["trains"])
    assert found["memory"]["parameters"] == held
    assert found["memory"]["optimizer"] == pytest.approx(2 * held, rel=0.01)


needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None and REQUIRED not in os.environ,
    reason="needs libtpu: pip install 'motiongpt3_jax[tpu]'",
)

TOY = (
    *("mesh.rows=per_shard", "model.dtype=bfloat16", "model.attention=reference"),
    *("model.decoder.width=256", "model.decoder.heads=4"),
    *("stages.text.batch.rows=16", "stages.text.batch.text_slots=256"),
)
"""Large enough that its arrays take more memory than its code."""


def estimated(config, stage, topology, overrides, words=None):
    """An estimate of a stage whose batch is split over all chips."""
    checked = check_config(plain(load_config(config, overrides).to_dict()))
    chips = Slice.of(topology)
    traced = trace_step(checked, stage, model_spec(checked, words), checked.stages[stage].rows)
    return estimate_step(traced, make_abstract_mesh(chips.chips), chips)


@needs_libtpu
@pytest.mark.slow
def test_a_plan_for_chips_says_memory_time_and_money(tmp_path):
    options = ("--config", "motiongpt3:test", "--stage", "text", "--topology", "v5e:2x2", "--price", "v5e=1.2")
    said, found = planned(tmp_path, *options, *(f"--config.{value}" for value in TOY))
    time = found["time"]
    assert found["fits"] is True
    assert found["memory"]["capacity"] == CHIPS["v5e"].hbm
    assert found["bound"] == max(("products", "memory", "collectives"), key=lambda part: time[part])
    seconds = max(time["products"], time["memory"]) + time["collectives"]
    assert found["step_seconds"] == pytest.approx(seconds)
    assert time["memory"] == pytest.approx(found["hbm_bytes_per_chip"] / CHIPS["v5e"].hbm_rate)
    assert found["mfu"] == pytest.approx(found["model_flops"] / (4 * CHIPS["v5e"].flops * seconds))
    assert found["samples_per_second"] == pytest.approx(64 * found["filling"]["samples_per_row"] / seconds)
    assert found["dollars"] == pytest.approx(1.2 * 4 * seconds * found["steps"] / 3600)
    assert found["collectives"]["all-reduce"] > 0
    assert "USD" in said
    check_estimate(estimated("motiongpt3:test", "text", "v5e:2x2", TOY), found)


def check_estimate(estimate, found):
    """Raises AssertionError when an estimate is far from what the compiler says."""
    assert estimate.memory.parameters == found["memory"]["parameters"]
    assert estimate.memory.optimizer == found["memory"]["optimizer"]
    assert estimate.memory.peak == pytest.approx(found["peak_bytes_per_chip"], rel=0.3)
    assert estimate.cost.flops == pytest.approx(found["flops_per_chip"], rel=0.1)
    assert estimate.cost.bytes == pytest.approx(found["hbm_bytes_per_chip"], rel=0.5)


@needs_libtpu
@pytest.mark.slow
@pytest.mark.parametrize("stage", ["generate", "tune"])
def test_the_estimate_of_base_is_near_what_the_compiler_says(tmp_path, stage):
    values = ("mesh.rows=per_shard", "model.dtype=bfloat16", "model.attention=reference")
    options = ("--config", "motiongpt3:base", "--stage", stage, "--topology", "v5e:4x4", "--words", "50257")
    _, found = planned(tmp_path, *options, *(f"--config.{value}" for value in values))
    check_estimate(estimated("motiongpt3:base", stage, "v5e:4x4", values, 50257), found)


@pytest.mark.slow
def test_an_estimate_needs_no_compiler_and_has_all_numbers(tmp_path):
    options = ("--config", "motiongpt3:test", "--stage", "text", "--topology", "v5e:16x16", "--platform", "estimate")
    said, found = planned(tmp_path, *options, "--config.mesh.rows=per_shard")
    assert all(found[name] is not None for name in TOP)
    assert found["rows"] == 512
    assert found["fits"] is True
    assert found["memory"]["optimizer"] == pytest.approx(2 * found["memory"]["parameters"], rel=0.01)
    assert "machine code" in said


def test_weights_across_slices_are_refused_where_nothing_is_compiled_too():
    with pytest.raises(UserError, match="puts weights of one layer on several of 2 TPU slices"):
        plan("motiongpt3:test", "2xv5e:2x2", platform="estimate", mesh={"fsdp": 8}, stage="vae")


@pytest.mark.parametrize("text", ["data", "data=", "=2", "data=2,data=2", "data=0", "data=two"])
def test_pairs_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="write NAME=NUMBER"):
        parse_pairs("--mesh", text, int)


def test_pairs_are_read():
    assert parse_pairs("--mesh", "data=2,fsdp=4", int) == {"data": 2, "fsdp": 4}
