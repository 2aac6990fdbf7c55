"""MotionLLM's stages from config to checkpoints: what trains, what is written, and that runs resume to the bit."""

import json
import re
import shutil

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

import motiongpt3_jax
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.configs.motionllm import VARIANTS
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.inference.folder import plain, read_folder
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.parallel.sharding import path_name
from motiongpt3_jax.training import restore_variables
from motiongpt3_jax.training.folders import last_folder
from motiongpt3_jax.training.partition import paths_of
from motiongpt3_jax.training.reading import read_item
from motiongpt3_jax.training.references import references_of
from tests.quick import one_quick
from tests.systems.motionllm.conftest import FEW, LANGUAGE

TRAINED = {
    "pretrain": r"decoder/(?!.*/lora/).*|vocabulary/table",
    "t2m": ".*/lora/t2m/.*|vocabulary/new",
    "m2t": ".*/lora/m2t/.*",
}
"""Paths of what each stage moves."""


def test_every_stage_trains_and_its_loss_falls(trained_motionllm):
    lines = [json.loads(line) for line in (trained_motionllm / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if line["kind"] == "train"]
    assert [*dict.fromkeys(line["stage"] for line in lines)] == ["tokenizer", *LANGUAGE]
    for stage in LANGUAGE:
        losses = [line["loss"] for line in lines if line["stage"] == stage]
        assert np.mean(losses[-9:]) < 0.95 * np.mean(losses[:9]), stage


def test_each_stage_moves_its_own_arrays_alone(trained_motionllm):
    arrays = {
        stage: flatten_dict(restore_variables(trained_motionllm, stage)[2].params, sep="/")
        for stage in ("tokenizer", *LANGUAGE)
    }
    for before, stage in zip(arrays, LANGUAGE):
        for path, array in arrays[stage].items():
            moved = not np.array_equal(array, arrays[before][path])
            assert moved == bool(re.fullmatch(TRAINED[stage], path)), (stage, path)


def test_checkpoints_hold_adapters_and_rows_of_motions_alone(trained_motionllm):
    everything = flatten_dict(read_variables(read_folder(trained_motionllm))[2].params, sep="/")
    for stage in ("t2m", "m2t"):
        referred = {
            path for reference in references_of(last_folder(trained_motionllm, stage)) for path in reference.paths
        }
        trained = {path for path in everything if re.fullmatch(TRAINED[stage], path)}
        assert set(everything) - referred == trained
        # So it is of the files: these, and what the optimizer has of each.
        last = last_folder(trained_motionllm, stage)
        assert paths_of(read_item(last / "params")) == trained
        moments = [path_name(path) for path, _ in jax.tree.leaves_with_path(read_item(last / "progress"))]
        moments = [path for path in moments if re.search("/(decoder|vocabulary|vqvae)/", path)]
        assert {path.partition("u/")[2] for path in moments} == trained


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_with_the_same_bits(trained_motionllm, tmp_path):
    shutil.copytree(trained_motionllm, tmp_path / "run")
    for stage in ("m2t", "t2m"):
        shutil.rmtree(tmp_path / "run" / "checkpoints" / stage)
    motiongpt3_jax.train("motionllm:test", tmp_path / "run", FEW)
    again, before = (read_variables(read_folder(folder)) for folder in (tmp_path / "run", trained_motionllm))
    assert again[:2] == before[:2] == ("m2t", 40)
    assert jax.tree.all(jax.tree.map(np.array_equal, again[2], before[2]))


@one_quick("name", [*VARIANTS, "gemma2_2b:official", "test:official"], "gemma2_2b:official")
def test_every_config_is_right(name):
    check_config(plain(load_config(f"motionllm:{name}").to_dict()))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.language.kv_heads=3", "model.language.kv_heads is 3, which does not divide its 4 heads"),
        ("stages.t2m.objective.adapter=m2t", r"trainable names '.\*/lora/t2m/.\*', an adapter that has no gradient"),
        ("stages.t2m.batch.slots.tokens=32", "slots.tokens is 32, and config.layout.max_length 64"),
        ("layout.max_length=512", "max_length is 512, and config.model.language.max_positions 256"),
        ("pretrained=somewhere", "it needs the tokenizer that it was trained with"),
    ],
)
def test_a_config_that_cannot_be_trained_is_one_sentence(override, words):
    config = load_config("motionllm:test", [override])
    with pytest.raises(UserError, match=words):
        check_config(plain(config.to_dict()))


def test_an_unknown_variant_is_named_with_those_that_there_are():
    with pytest.raises(UserError, match="no config motionllm:gpt2; there are: motionllm:gemma2_2b"):
        load_config("motionllm:gpt2")
