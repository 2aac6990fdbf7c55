"""What devices exchange in the step that is compiled for a TPU slice: weights and their gradients, no activations.

Compiled ahead of time with libtpu, in processes of their own: libtpu must not see the tests' devices.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUIRED = "MOTION_TPU_REQUIRED"
"""Set where libtpu must be there: then these tests fail without it."""

FEW = 200
"""Numbers of an array that is no weight and may be exchanged: sums, counts, what is made of the null condition."""

SLACK = 1.2
"""Bytes in all, over those of the weights gathered in both passes and of their gradients summed once."""

TOY = {"topology": "v5e:2x2", "axes": [1, 4, 1], "rows": 1, "words": 1000, "small": 64}
SPLIT = ["model.dtype=bfloat16", "mesh.whole_below=0"]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None and REQUIRED not in os.environ,
    reason="needs libtpu: pip install 'motiongpt3_jax[tpu]'",
)


def exchanged(**options):
    """Parameters and collectives of a step."""
    command = [sys.executable, "-m", "tests.parallel.compile_step", json.dumps(options)]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check_weights_move(found, places=()):
    """Raises AssertionError when anything but weights, whole or a part of them, is exchanged, or more than needed.

    Of position tables so many `places` may be exchanged: those that are read.
    """
    parameters, collectives, size = found["parameters"], found["collectives"], found["size"]
    tables = [p for p in parameters if p["path"].startswith("vocabulary/")]
    layers = [p for p in parameters if not p["path"].startswith("vocabulary/")]
    assert any(one["kind"] == "all-gather" and one["trips"] > 1 for one in collectives), "no layer gathers its weights"
    for one in collectives:
        for numbers, array in ((array[1], array[3]) for array in one["arrays"]):
            what = f"{one['kind']} of {array} x {one['trips']} in {one['op']}"
            assert numbers <= FEW or is_weight(numbers, parameters, one, places), f"{what}: no weights"
            if not is_weight(numbers, tables, one):
                assert numbers <= max(p["numbers"] for p in layers), f"{what}: more than one layer of any weight"
    split = sum(p["numbers"] * p["layers"] for p in layers if p["split"])
    trained = sum(p["numbers"] * p["layers"] for p in layers if p["trains"])
    wanted = size * (2 * split + trained)
    table = sum(p["numbers"] for p in tables)
    # A table is gathered once; its gradient is summed in float32, as are those of norms.
    padded = table + 128 * tables_width(tables)
    wanted += padded * size * 2 + 4 * sum(p["numbers"] for p in tables if p["trains"])
    total = sum(amount * one["trips"] for one in collectives for _, _, amount, _ in one["arrays"])
    assert total <= SLACK * wanted, f"{total} bytes are exchanged, of {wanted}"


def tables_width(tables):
    """Width of the widest vectors of a vocabulary."""
    return max((p["width"] for p in tables), default=0)


def is_weight(numbers, parameters, one, places=()):
    """Whether so many numbers are a weight's: all of it, of one layer of it, or of what one device holds of that."""
    sizes = {p["numbers"] for p in parameters} | {p["numbers"] * p["layers"] for p in parameters}
    # Queries, keys and values of one kernel are read apart; tables are padded to lanes.
    sizes |= {p["numbers"] // 3 * part for p in parameters if p["path"].endswith("in_kernel") for part in (1, 2)}
    sizes |= {-(-p["rows"] // 128) * 128 * p["width"] for p in parameters if p["path"].startswith("vocabulary/")}
    sizes |= {count * p["width"] for p in parameters if "positions" in p["path"] for count in places}
    held = {size // one["group"] for size in sizes} if one["kind"] == "collective-permute" else set()
    return numbers in sizes | held


def test_decoder_head_and_vocabulary_gather_their_weights():
    overrides = [*SPLIT, "stages.align_bare.optimizer.muon=()"]
    found = exchanged(**TOY, config="motiongpt3:test", stage="align_bare", overrides=overrides)
    check_weights_move(found)
    assert reductions_of_tables(found) == 1


@pytest.mark.slow
def test_vqvae_and_t5_gather_their_weights():
    overrides = [*SPLIT, "stages.t2m.optimizer.muon=()", "model.language.layers=2", "model.language.scan=True"]
    found = exchanged(**TOY, config="motiongpt:test", stage="t2m", overrides=overrides)
    check_weights_move(found)
    assert reductions_of_tables(found) == 2, "embeddings and logits have tables of their own"


def reductions_of_tables(found):
    """How often gradients of a whole table of base ids are summed over devices."""
    rows = max(p["rows"] for p in found["parameters"] if p["path"].startswith("vocabulary/"))
    sums = [one for one in found["collectives"] if one["kind"] in ("all-reduce", "reduce-scatter")]
    return sum(array[3].startswith(f"f32[{rows},") for one in sums for array in one["arrays"])


@pytest.mark.slow
def test_the_vae_gathers_its_weights():
    overrides = [*SPLIT, "stages.vae.optimizer.muon=()", "model.vae.layers=5"]
    found = exchanged(**TOY, config="motiongpt3:test", stage="vae", overrides=overrides)
    check_weights_move(found, places=(48, 50))


@pytest.mark.slow
@pytest.mark.parametrize("fsdp", [16, 256])
@pytest.mark.parametrize("stage", ["generate", "tune"])
def test_base_gathers_its_weights_on_slices(stage, fsdp):
    topology = {16: "v5e:4x4", 256: "v5e:16x16"}[fsdp]
    found = exchanged(
        topology=topology,
        axes=[1, fsdp, 1],
        rows=8,
        words=50257,
        config="motiongpt3:base",
        stage=stage,
        overrides=["model.dtype=bfloat16"],
    )
    # The head's pooling reads the positions of four holders and of its token.
    check_weights_move(found, places=(5,))


@pytest.mark.slow
def test_between_slices_each_chip_sends_its_share_of_the_gradients_alone():
    step = exchanged(
        topology="2xv5e:4x4",
        axes=[2, 16, 1],
        rows=8,
        words=50257,
        config="motiongpt3:base",
        stage="tune",
        overrides=["model.dtype=bfloat16"],
    )
    trained = [p for p in step["parameters"] if p["trains"]]
    share = sum(p["numbers"] * p["layers"] * (4 if p["path"].startswith("vocabulary/") else 2) for p in trained) / 16
    crossing = [one for one in step["collectives"] if one["kind"] == "between-slices"]
    sent = sum(amount * one["trips"] for one in crossing for _, _, amount, _ in one["arrays"])
    assert {one["group"] for one in crossing} == {2}
    assert 0.9 * share < sent <= SLACK * share
