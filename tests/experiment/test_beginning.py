"""Runs that start from the trained parts of a model."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from motiongpt3_jax.experiment.beginning import beginning, learned_tasks, of_start, open_start
from motiongpt3_jax.experiment.config import read_config
from motiongpt3_jax.inference.engine import make_system
from motiongpt3_jax.inference.folder import read_folder
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.motion import KIT
from motiongpt3_jax.systems.motiongpt3.prompts import TOKEN_SPEC
from motiongpt3_jax.text import load_tokenizer, train_tokenizer
from motiongpt3_jax.training.partition import merge
from tests.commands.conftest import call
from tests.inference.models import exported_model, model_folder
from tests.quick import one_quick
from tests.systems.llama import LLAMA, random_tensors, write_checkpoint
from tests.text.llama_tokenizer import llama_folder


def start_of(tmp_path, *overrides, untrained=()):
    """(folder of a run that starts from a model with random weights, that model's folder, its variables)."""
    start, variables = exported_model(tmp_path / "start", untrained=untrained)
    folder = model_folder(*overrides)
    return replace(folder, config={**folder.config, "start": str(start.path)}), start, variables


def config_of(folder, **values):
    """The config of a folder, with these values."""
    return read_config({**folder.config, **values})


def equal(found, expected):
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, found, expected)))


@one_quick("untrained", [(), ("text", "motion"), ("vae", "motion"), ("vae", "text")], ("text", "motion"))
def test_trained_parts_are_taken_and_the_others_are_left_to_be_drawn(untrained, tmp_path):
    folder, _, given = start_of(tmp_path, untrained=untrained)
    trained = beginning(config_of(folder), folder.spec, jax.random.key(3))
    filler = jax.tree.map(lambda x: np.full(x.shape, -7, x.dtype), make_system(folder).shapes)
    found = filler.replace(params=merge(trained.params, filler.params), state={**filler.state, **trained.state})
    taken = {part: given if part not in untrained else filler for part in ("vae", "text", "motion")}
    places = {
        "vae": [("vae",)],
        "text": [("decoder", "layers", "text"), ("decoder", "final_norm", "text"), ("vocabulary", "text", "table")],
        "motion": [("decoder", "layers", "motion"), ("vocabulary", "text", "new"), ("head",), ("understand",)],
    }
    for part, paths in places.items():
        for path in paths:
            ours, wanted = found.params, taken[part].params
            for name in path:
                ours, wanted = ours[name], wanted[name]
            assert equal(ours, wanted), path
    assert equal(found.state, taken["vae"].state)
    assert jax.tree.structure(found.params) == jax.tree.structure(filler.params)


def test_the_tokenizer_and_the_statistics_stay_those_of_the_trained_parts(tmp_path):
    _, start, _ = start_of(tmp_path)
    tokenizer, body = (
        train_tokenizer(["others"], 257),
        replace(start.statistics, mean=start.statistics.mean + 1, offsets=np.ones(3)),
    )
    kept = of_start(start, tokenizer, body)
    assert kept[0] is start.tokenizer
    np.testing.assert_array_equal(kept[1].mean, start.statistics.mean)
    np.testing.assert_array_equal(kept[1].offsets, body.offsets)
    assert of_start(replace(start, untrained=("text", "vae")), tokenizer, body) == (tokenizer, body)
    with pytest.raises(ValueError, match="of the humanml3d skeleton, the data's of kit"):
        of_start(start, tokenizer, replace(body, skeleton=KIT))


def test_a_run_knows_the_tasks_that_its_start_was_trained_on(tmp_path):
    folder, start, _ = start_of(tmp_path)
    config = config_of(folder, run=("text",))
    assert {"t2m", "m2t"} <= {*learned_tasks(config, start)}
    # A model whose config trains nothing of them hands on what it was begun with.
    text_alone = replace(start, config={**start.config, "run": ("text",)})
    assert "t2m" not in learned_tasks(config, text_alone)
    assert "t2m" in learned_tasks(config, replace(text_alone, learned=("t2m",)))
    assert learned_tasks(config, replace(start, untrained=("motion",))) == learned_tasks(config, None) == ()
    # Latents of a VAE that is trained on mean something else.
    assert learned_tasks(config_of(folder, run=("vae", "text")), start) == ()


def test_other_sizes_are_said_with_what_to_set(tmp_path):
    folder, start, _ = start_of(tmp_path, "model.vae.layers=5", "model.decoder.heads=2", untrained=("motion",))
    with pytest.raises(ValueError, match=r"add --config\.model\.vae\.layers=3 --config\.model\.decoder\.heads=4$"):
        open_start(config_of(folder))
    folder, *_ = start_of(tmp_path, "model.decoder.motion_factor=0.5", untrained=("motion",))
    assert open_start(config_of(folder)).path == start.path
    assert open_start(config_of(folder, start="")) is None
    with pytest.raises(FileNotFoundError, match="no model at 'nowhere'"):
        open_start(config_of(folder, start="nowhere"))


@pytest.mark.slow
def test_a_run_starts_from_a_vae_and_leaves_it_alone(tmp_path):
    start, given = exported_model(tmp_path / "start", untrained=("text", "motion"))
    asked = ("--config", "motiongpt3:test", f"--config.start={start.path}", "--config.run=('text', 'generate')")
    asked = ("train", *asked, "--workdir", tmp_path / "run", "--config.stages.generate.sample_every=0")
    status, out, error = call(*asked)
    assert status == 0, error
    stage, step, found = read_variables(read_folder(tmp_path / "run"))
    assert (stage, step) == ("generate", 2)
    assert equal(found.params["vae"], given.params["vae"])
    assert equal(found.state, given.state)
    run = read_folder(tmp_path / "run")
    np.testing.assert_array_equal(run.statistics.mean, start.statistics.mean)
    assert run.untrained == ()
    # The VAE is not copied: its weights must stay where they are, and as they are.
    base = tmp_path / "run" / "checkpoints" / "base" / "0" / "params" / "_METADATA"
    assert "decoder" in base.read_text()
    assert "vae" not in base.read_text()
    weights = start.path / "model.safetensors"
    weights.rename(tmp_path / "moved")
    status, _, error = call(*asked)
    assert status == 2
    assert "takes the frozen vae/" in error
    assert str(start.path) in error
    (tmp_path / "moved").rename(weights)
    status, out, error = call(*asked)
    assert status == 0, error
    assert "generate is finished" in out
    assert equal(read_variables(read_folder(tmp_path / "run"))[2].params["vae"], given.params["vae"])


def test_damaged_weights_of_a_start_are_said_before_data_are_built(tmp_path):
    start, _ = exported_model(tmp_path / "start")
    weights = start.path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    asked = ("train", "--config", "motiongpt3:test", f"--config.start={start.path}", "--workdir", tmp_path / "run")
    status, out, error = call(*asked)
    assert (status, out) == (2, "")
    assert "model.safetensors' is not as it was written" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_starts_from_a_llama_in_several_files_and_refers_to_all_of_them(tmp_path):
    place = llama_folder(tmp_path / "llama")
    ids = load_tokenizer(place, TOKEN_SPEC).base_vocabulary
    tensors = random_tensors(rows=ids)
    write_checkpoint(place, {})
    (place / "model.safetensors").unlink()
    files = {f"model-{number}.safetensors": sorted(tensors)[number::2] for number in range(2)}
    for name, keys in files.items():
        save_file({key: tensors[key] for key in keys}, place / name)
    listed = {"weight_map": {key: name for name, keys in files.items() for key in keys}}
    (place / "model.safetensors.index.json").write_text(json.dumps(listed))
    places = (f"--config.pretrained={place}", f"--config.tokenizer={place}", "--config.run=('text', 'generate')")
    blocks = [f"--config.{override}" for override in LLAMA]
    frozen = "--config.stages.generate.trainable=('decoder/.+/motion(/.*)?', 'head/.*', 'null_condition')"
    asked = ("--config", "motiongpt3:test", *places, *blocks, frozen, "--config.stages.generate.sample_every=0")
    status, _, error = call("train", *asked, "--workdir", tmp_path / "run")
    assert status == 0, error
    run = read_folder(tmp_path / "run")
    assert run.tokenizer.begin == "<|begin_of_text|>"
    _, _, found = read_variables(run)
    text = found.params["decoder"]["layers"]["text"]
    wanted = tensors["model.layers.1.self_attn.k_proj.weight"].T.reshape(32, 2, 8)
    np.testing.assert_array_equal(text["k"]["kernel"][1], wanted)
    np.testing.assert_array_equal(found.params["vocabulary"]["text"]["head"], tensors["lm_head.weight"])
    # Neither file is copied, and both must stay.
    base = tmp_path / "run" / "checkpoints" / "base" / "0" / "params" / "_METADATA"
    assert "gate" not in base.read_text()
    (place / "model-1.safetensors").write_bytes(b"other")
    status, _, error = call("train", *asked, "--workdir", tmp_path / "run", "--config.stages.generate.steps=3")
    assert status == 2
    assert "model-1.safetensors" in error
