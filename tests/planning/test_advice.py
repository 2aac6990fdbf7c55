from dataclasses import replace

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.experiment.config import read_config
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.planning.advice import advice
from motiongpt3_jax.planning.results import Filling, Memory, Plan, StagePlan, StepTime
from motiongpt3_jax.planning.stage_program import needed_bytes

GIB = 2**30
AXES = {"data": 8, "fsdp": 2, "tensor": 1}


def stage(name="tune", peak=20.0, kept=6.0, **others):
    memory = Memory(16.0 * GIB, peak * GIB, kept * GIB, peak * GIB, 0.0, kept * GIB / 3, 2 * kept * GIB / 3, 0.0)
    values = {
        "rows": 64,
        "steps": 3600,
        "advice": None,
        "model_flops": 1e12,
        "useful_flops": None,
        "flops_per_chip": 1e12,
        "hbm_bytes_per_chip": 1e9,
        "collectives": {},
        "time": StepTime(0.5, 0.25, 0.5, 0.1),
        "mfu": 0.4,
        "mfu_without_padding": None,
        "samples_per_second": 64.0,
        "filling": Filling("procedural", 1.0, {}, None),
        "kernels": 0,
        "same_as": None,
        "compile_seconds": 1.0,
        "price": 1.5,
        "chips": 16,
    }
    return StagePlan(name=name, memory=memory, **{**values, **others})


def config(*overrides):
    return read_config(plain(load_config("motiongpt3:base", overrides).to_dict()))


def test_what_does_not_fit_is_told_how_to():
    said = advice(stage().memory, "tune", 64, config(), AXES)
    assert "--config.mesh.fsdp=16" in said
    assert "--config.model.dtype=bfloat16" in said
    assert "--config.model.decoder.remat=full" in said
    assert "--config.stages.tune.optimizer.accumulate=4" in said


def test_what_is_done_already_is_not_advised():
    done = config("model.dtype=bfloat16", "model.decoder.remat=full", "model.vae.remat=full")
    said = advice(stage(kept=1.0).memory, "tune", 16, done, AXES)
    assert said == "take a larger slice, or shorter rows"
    assert advice(stage(peak=10.0).memory, "tune", 64, config(), AXES) is None


def test_time_is_the_longer_of_products_and_memory_and_bare_collectives():
    one = stage(peak=10.0)
    assert one.time.total == 1.0
    assert one.bound == "products"
    assert (one.hours, one.chip_hours, one.dollars) == (1.0, 16.0, 24.0)
    assert stage(peak=10.0, time=StepTime(0.5, 0.75, 0.1, 0.0)).bound == "memory"
    assert stage().bound == "capacity"


def test_the_numbers_at_the_top_are_those_of_the_stage_with_most_chip_hours():
    short, long = stage("vae", peak=10.0), stage("tune", peak=10.0, steps=7200)
    made = Plan("c", "v5e:4x4", "tpu", AXES, {"vae": short, "tune": long}, "fast", ())
    found = made.to_json()
    assert (found["stage"], found["chip_hours"], found["fits"]) == ("tune", 32.0, True)
    assert list(found["stages"]) == ["vae", "tune"]
    worse = replace(made, stages={"vae": stage("vae"), "tune": long})
    assert worse.to_json()["stage"] == "vae"
    assert worse.fits is False


def test_the_compiler_says_how_much_a_program_would_take():
    assert needed_bytes("RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 149.06G of 15.75G hbm.") == (
        149.06 * GIB
    )
    assert needed_bytes("HLO temporaries (20.5G) exceeds available HBM (15.75G)") == 20.5 * GIB
    assert needed_bytes("RESOURCE_EXHAUSTED") is None
