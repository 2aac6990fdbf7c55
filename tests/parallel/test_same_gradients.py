"""Eight devices compute what one does: the loss, and every array of gradients, of the stages of every system."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.systems.gemma import GEMMA
from tests.systems.llama import LLAMA

ROOT = Path(__file__).parents[2]
NEAR = 1e-5
"""Relative distance of the loss; and of a gradient's array, by its norm."""

MESHES = ("8x1x1", "1x8x1", "2x2x2")
"""Devices along data, fsdp and tensor."""


def distances(system, folder, stages, meshes, overrides=()):
    flags = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"}
    command = [sys.executable, "-m", "tests.parallel.same_gradients", system, str(folder), *stages, "--", *meshes]
    command += ["--", *overrides]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | flags, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == len(stages) * len(meshes)
    return found


def adapted(stage, *trainable):
    """Overrides that give a stage a LoRA adapter of all projections, which it trains with what it trains, or alone."""
    adapter = {"rank": 4, "alpha": 8.0, "dropout": 0.0, "targets": (".*",), "makes": ("motion", "text")}
    alone = (f"stages.{stage}.trainable={trainable!r}",) if trainable else ()
    return (f"model.lora={ {'a': adapter} }", f"stages.{stage}.objective.adapter=a", *alone)


def check_near(found):
    far = {case: numbers for case, numbers in found.items() if max(numbers["loss"], numbers["gradient"]) > NEAR}
    assert not far


def test_eight_devices_give_the_gradients_of_one_to_a_gemma_with_an_adapter(tmp_path):
    """Whatever families of blocks differ in, so the smallest config's GPT-2 is among the slow tests."""
    check_near(distances("motiongpt3", tmp_path / "run", ("text",), MESHES[2:], (*GEMMA, *adapted("text"))))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("system", "stage", "overrides"), [("motiongpt", "t2m", ()), ("motiongpt3", "text", LLAMA)], ids=["t5", "llama"]
)
def test_eight_devices_give_the_gradients_of_one_to_an_adapter_alone(system, stage, overrides, tmp_path):
    overrides = (*overrides, *adapted(stage, ".*/lora/a/.*"))
    check_near(distances(system, tmp_path / "run", (stage,), MESHES[2:], overrides))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("system", "stages", "overrides"),
    [
        ("motiongpt", ("tokenizer", "t2m"), ()),
        # Grouped queries, rotary positions, a motion branch of a quarter of the width, an untied head.
        ("motiongpt3", ("align_bare",), LLAMA),
        ("motiongpt3", ("align_bare",), GEMMA),
    ],
    ids=["motiongpt", "llama", "gemma"],
)
def test_eight_devices_give_the_gradients_of_one(system, stages, overrides, tmp_path):
    check_near(distances(system, tmp_path / "run", stages, MESHES[2:], overrides))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("system", "stages"),
    [
        ("motiongpt3", ("vae", "text", "generate", "align_bare")),
        ("motiongpt", ("tokenizer", "pretrain", "instruct", "t2m")),
        ("motionllm", ("tokenizer", "pretrain", "t2m", "m2t")),
    ],
)
def test_every_stage_gives_the_same_gradients_on_every_mesh(system, stages, tmp_path):
    check_near(distances(system, tmp_path / "run", stages, MESHES))
