"""Runs, exported models and built data of the version before are read, and go on as they would have."""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pytest

import motiongpt3_jax
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.data_pipelines.records import open_records
from motiongpt3_jax.experiment.train import train
from motiongpt3_jax.inference.folder import read_folder
from motiongpt3_jax.inference.weights import flat_arrays, read_variables
from motiongpt3_jax.systems.interface import Variables

HERE = Path(__file__).parent
NEXT_LOSSES = {4: 6.183095932006836, 5: 6.332510948181152, 6: 5.916522979736328}
"""Training losses of the steps after the saved one, as the version before went on."""

HEADS = 2
SAMPLING = {"frames": [30, 30], "seed": 3, "guidance_scale": 2.0, "steps": 5}
SENTENCES = ["a person walks forward", "a man kicks"]


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A folder with `run`, `exported` and `data` as the version before wrote them."""
    folder = tmp_path_factory.mktemp("old")
    # Python 3.11.2, as Debian 12 has it, knows no filters.
    safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    for name in ("run", "exported", "data"):
        with tarfile.open(HERE / f"old_{name}.tar.xz") as archive:
            archive.extractall(folder, **safely)
    return folder


def raw(folder):
    """A checkpoint's item as it lies there: nested dictionaries and lists of numpy arrays."""
    handler = ocp.PyTreeCheckpointHandler()
    shapes = handler.metadata(folder.absolute()).tree
    import jax

    args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
    return handler.restore(folder.absolute(), args=ocp.args.PyTreeRestore(restore_args=args))


def split_by_hand(params):
    """Old parameters under today's paths, written out."""
    layers = {}
    for stream, block in params["decoder"]["layers"].items():
        kernel, bias = block["qkv"]["kernel"], block["qkv"]["bias"]
        count, width, inner = len(kernel), kernel.shape[1], kernel.shape[2] // 3
        apart = {
            name: {
                "kernel": kernel[:, :, i * inner : (i + 1) * inner].reshape(count, width, HEADS, -1),
                "bias": bias[:, i * inner : (i + 1) * inner].reshape(count, HEADS, -1),
            }
            for i, name in enumerate("qkv")
        }
        out = block["attention_out"]
        layers[stream] = {
            **apart,
            "o": {"kernel": out["kernel"].reshape(count, HEADS, -1, width), "bias": out["bias"]},
            "up": block["mlp_in"],
            "down": block["mlp_out"],
            "attention_norm": block["attention_norm"],
            "mlp_norm": block["mlp_norm"],
        }
    return {**params, "decoder": {**params["decoder"], "layers": layers}}


def test_parameters_averages_and_state_of_a_run_are_the_same_bits(old):
    stage, step, variables = read_variables(read_folder(old / "run"))
    assert (stage, step) == ("generate", 3)
    place = old / "run" / "checkpoints" / "generate" / "3"
    params, ema, state = (raw(place / item) for item in ("params", "ema", "state"))
    merged = flat_arrays(Variables(split_by_hand(params), state))
    # Inference takes the moving average of what has one.
    averages = {
        name: array
        for name, array in flat_arrays(Variables(split_by_hand(complete(ema, params)), {})).items()
        if name in flat_arrays(variables)
    }
    found = flat_arrays(variables)
    assert found.keys() == merged.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, averages.get(name, merged[name]), err_msg=name)


def complete(part, whole):
    """A nested dictionary, with what it lacks from another one."""
    if not isinstance(whole, dict):
        return part
    return {name: complete(part[name], whole[name]) if name in part else whole[name] for name in whole}


@pytest.mark.slow
def test_a_run_goes_on_with_the_losses_that_it_would_have_had(old, tmp_path):
    run = shutil.copytree(old / "run", tmp_path / "run")
    config = load_config("motiongpt3:test", overrides_of(run))
    train(config, run)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = {line["step"]: line["loss"] for line in lines if line["stage"] == "generate" and line["kind"] == "train"}
    for step, loss in NEXT_LOSSES.items():
        assert losses[step] == pytest.approx(loss, abs=1e-5)
    # What goes on is written in today's form, and refers to the run's earlier stage.
    assert json.loads((run / "config.json").read_text())["format"] == 2
    assert read_variables(read_folder(run))[:2] == ("generate", 6)


def overrides_of(run):
    """What the run's config says beyond the smallest config, as its command did, with three steps more."""
    saved = read_folder(run).config
    asked = {
        "model": saved["model"],
        "data": saved["data"],
        "layout": saved["layout"],
        "tokenizer": saved["tokenizer"],
        "run": saved["run"],
    }
    lines = []

    def walk(path, value):
        if isinstance(value, dict):
            for key, item in value.items():
                walk(f"{path}.{key}", item)
        else:
            lines.append(f"{path}={value!r}" if not isinstance(value, str) else f"{path}={value}")

    for name, value in asked.items():
        walk(name, value)
    for stage in saved["run"]:
        walk(f"stages.{stage}", saved["stages"][stage])
    return [line for line in lines if line != "stages.generate.steps=3"] + ["stages.generate.steps=6"]


@pytest.mark.parametrize("name", ["run", "exported"])
def test_answers_stay_what_they_were(old, name):
    with np.load(HERE / "expected.npz") as expected:
        joints = expected[name]
    model = motiongpt3_jax.load(old / name)
    motions = model.generate(SENTENCES, **SAMPLING)
    np.testing.assert_allclose([motion.joints[0] for motion in motions], joints, atol=1e-4)
    assert model.caption(motions[0], max_new=6) == "mo"


def test_built_data_of_format_1_have_one_person_a_clip(old):
    records = open_records(old / "data")
    split = records.split("train")
    assert records.metadata.format == 1
    assert split.extras == [(1, {})] * len(split)
    assert [len(clip.features) for clip in split.source] == split.lengths
    assert all(len(clip.persons) == 1 for clip in split.source)
