"""Files of the published MotionLLM, and of T2M-GPT's VQ-VAE, as a user imports and exports them."""

import json
import shutil

import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.interop.export_model import export_model
from motiongpt3_jax.interop.import_model import import_model, next_step
from motiongpt3_jax.models import VqVaeConfig
from motiongpt3_jax.systems.interface import ModelSpec
from motiongpt3_jax.systems.motion_codes.system import CodeModel
from motiongpt3_jax.systems.motion_codes.vqvae_names import vqvae_entries
from motiongpt3_jax.systems.motionllm.build import build_config
from motiongpt3_jax.systems.motionllm.identify_checkpoint import CONFIG, adapter_sections, find_config
from motiongpt3_jax.systems.motionllm.name_table import VQVAE, adapter_table, vqvae_table
from motiongpt3_jax.systems.motionllm.tokens import TOKEN_SPEC
from motiongpt3_jax.tensors.checkpoint_files import read_state_dict, write_checkpoint
from motiongpt3_jax.tensors.name_table import NameTable, to_state_dict
from motiongpt3_jax.text.tokenizer import blank_tokenizer
from tests.golden import MOTIONLLM, golden_motionllm

FILE = "motionllm_tiny.pth"
SMALL = VqVaeConfig(263, width=8, code_width=8, codes=512, downsamples=2, depth=2, dilation_growth=3, dtype="float32")
"""A motion tokenizer with as many codes as the published one."""

SIZES = tuple(f"model.vqvae.{name}={getattr(SMALL, name)}" for name in ("width", "code_width", "depth"))


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """(statistics, the language model of the fixtures as Hugging Face has it)."""
    folder, rng = tmp_path_factory.mktemp("given"), np.random.default_rng(0)
    np.save(folder / "Mean.npy", rng.normal(size=263).astype(np.float32))
    np.save(folder / "Std.npy", rng.uniform(0.5, 2, 263).astype(np.float32))
    base = shutil.copytree(MOTIONLLM.path("tokenizer"), folder / "base")
    values = json.loads(str(golden_motionllm("lora")["config"]))
    (base / "config.json").write_text(json.dumps({"model_type": "gemma2", **values}))
    tensors = {key.removeprefix("gemma2."): x for key, x in MOTIONLLM.filled("lora", "gemma2.").items()}
    table = tensors["model.embed_tokens.weight"][: values["vocab_base"]]
    tensors = {name: x for name, x in tensors.items() if name != "lm_head.weight"}
    save_file({**tensors, "model.embed_tokens.weight": table.copy()}, base / "model.safetensors")
    return folder, base


def vqvae_state(seed=0):
    table, rng = NameTable(tuple(vqvae_entries(SMALL, VQVAE))), np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in table.shapes.items()}


def equal(found, wanted):
    assert found.keys() == wanted.keys()
    for name, x in wanted.items():
        np.testing.assert_array_equal(found[name], x, err_msg=name)


@pytest.mark.golden
def test_adapters_and_rows_over_their_language_model(given, tmp_path):
    statistics, base = given
    source, out = MOTIONLLM.path(FILE), tmp_path / "model"
    with pytest.raises(UserError, match="name the language model that they adapt with --base"):
        import_model(source, out, CONFIG, ("pretrained=", *SIZES), statistics=statistics)
    (tmp_path / "config.json").write_text('{"system": "motionllm"}')
    with pytest.raises(UserError, match=r"a model's folder is there; give the folder or hub name of .*Gemma 3"):
        import_model(source, out, overrides=SIZES, statistics=statistics, base=tmp_path)
    result = import_model(source, out, overrides=SIZES, statistics=statistics, base=base)
    folder, variables = result.folder, read_variables(result.folder)[2]
    assert folder.untrained == ("tokenizer",)
    values = json.loads(str(golden_motionllm("lora")["config"]))
    for name, section in folder.config["model"]["lora"].items():
        assert (section["rank"], section["alpha"]) == (values[f"lora_r_{name}"], values[f"lora_alpha_{name}"])
    assert folder.config["model"]["language"]["attention_cap"] is None
    filled = MOTIONLLM.filled("lora", "gemma2.")
    tables = [variables.params["vocabulary"][name] for name in ("table", "new")]
    np.testing.assert_array_equal(np.concatenate(tables), filled["gemma2.model.embed_tokens.weight"])
    up = filled["gemma2.model.layers.1.mlp.up_proj.weight"]
    np.testing.assert_array_equal(variables.params["decoder"]["layers"]["tokens"]["up"]["kernel"][1], up.T)
    shapes = {path: x.shape for path, x in flatten_dict(variables.params, sep="/").items()}
    again = to_state_dict(variables.params, adapter_table(build_config(folder.spec), shapes))
    theirs = read_state_dict(source)
    assert [*again] == [*theirs]
    equal(again, theirs)


@pytest.mark.torch
def test_a_whole_model_comes_and_goes_bit_by_bit(given, tmp_path):
    import torch

    statistics, base = given
    (tmp_path / "in").mkdir()
    source = shutil.copy(MOTIONLLM.path(FILE), tmp_path / "in" / "motionllm.pth")
    write_checkpoint(source.with_name("vqvae.pth"), vqvae_state(), key="net")
    assert torch.load(source.with_name("vqvae.pth"), weights_only=True).keys() == {"net"}
    result = import_model(source, tmp_path / "model", statistics=statistics, base=base)
    assert result.folder.untrained == ()
    out = tmp_path / "out" / "motionllm.pth"
    exported = export_model(tmp_path / "model", out, "pytorch")
    (ranks,) = [note for note in exported.notes if "this model has" in note]
    assert "t2m of rank 8" in ranks
    assert "m2t of rank 4" in ranks
    for name in ("motionllm.pth", "vqvae.pth"):
        equal(read_state_dict(out.with_name(name)), read_state_dict(source.with_name(name)))
    state = torch.load(out, weights_only=True)
    assert [*state] == [*torch.load(source, weights_only=True)]
    # The published code writes whole tables behind the rows.
    assert state["embeddings"].untyped_storage().nbytes() == 514 * 64 * 4
    assert state["embeddings"].data_ptr() == state["lm_head"].data_ptr()
    with pytest.raises(UserError, match="holds all LoRA adapters of a MotionLLM: leave --adapter out"):
        export_model(tmp_path / "model", out, "pytorch", adapter="t2m")
    with pytest.raises(UserError, match="the motion tokenizer will lie there"):
        export_model(tmp_path / "model", out.with_name("vqvae.pth"), "pytorch")


def test_a_vqvae_alone_is_a_beginning(given, tmp_path):
    statistics, base = given
    state = vqvae_state()
    save_file(state, tmp_path / "vq.safetensors")
    result = import_model(tmp_path / "vq.safetensors", tmp_path / "model", tokenizer=base, statistics=statistics)
    folder, variables = result.folder, read_variables(result.folder)[2]
    assert "motiongpt3 train --config motionllm:gemma2_2b:official --config.model.vqvae.width=8" in next_step(
        folder, result.config
    )
    # What is not there is as small as can be.
    assert folder.config["model"]["language"]["layers"] == 1
    assert folder.untrained == ("language", "motion")
    assert folder.config["model"]["vqvae"] | {"permute": False} == {
        **{name: getattr(SMALL, name) for name in ("width", "code_width", "codes", "depth", "dilation_growth")},
        "permute": False,
    }
    arrays = {**variables.params, "state": variables.state}
    equal(to_state_dict(arrays, vqvae_table(build_config(folder.spec))), state)


@pytest.mark.golden
def test_names_and_shapes_are_those_of_the_published_files():
    layout = MOTIONLLM.json("layout")
    config = plain(load_config(CONFIG).to_dict())
    sizes = build_config(ModelSpec(config, 263, blank_tokenizer(TOKEN_SPEC, 256_000)))
    shapes = {path: x.shape for path, x in flatten_dict(CodeModel(sizes).shapes.params, sep="/").items()}
    table, theirs = adapter_table(sizes, shapes), layout["motionllm.pth"]["keys"]
    assert {name: list(shape) for name, shape in table.shapes.items()} == theirs
    assert [*table.shapes] == [*theirs]
    counts = {
        name: sum(np.prod(shape) for key, shape in table.shapes.items() if f".{name}." in key)
        for name in ("t2m", "m2t")
    }
    assert counts == {
        "t2m": layout["motionllm.pth"]["count"]["t2m_r64"],
        "m2t": layout["motionllm.pth"]["count"]["m2t_r32"],
    }
    ours = {name: list(shape) for name, shape in vqvae_table(sizes).shapes.items()}
    assert ours == layout["vqvae.pth"]["keys"]


FACTOR = "base_model.model.model.layers.0.{}.lora_{}.t2m.weight"


def test_sections_of_adapters_are_told_by_their_tensors():
    shapes = {FACTOR.format("self_attn.q_proj", "A"): (4, 8), FACTOR.format("self_attn.q_proj", "B"): (16, 4)}
    lora = {"t2m": {"rank": 64, "alpha": 32.0, "dropout": 0.1, "targets": ("tokens/.*",), "makes": ("motion",)}}
    section = {**lora["t2m"], "rank": 4, "targets": ("tokens/q",)}
    assert adapter_sections(shapes, lora, ()) == {"t2m": {**section, "alpha": 4.0}}
    assert adapter_sections(shapes, lora, ("model.lora.t2m.alpha",)) == {"t2m": section}
    assert find_config(shapes) == CONFIG
    assert find_config([name.replace(".t2m.", ".") for name in shapes]) is None
    with pytest.raises(UserError, match=r"has factors of ranks \[4, 5\]"):
        adapter_sections({**shapes, FACTOR.format("mlp.up_proj", "A"): (5, 8)}, lora, ())
    with pytest.raises(UserError, match="is no LoRA factor of a projection of a decoder language model"):
        adapter_sections({FACTOR.format("self_attn.c_attn", "A"): (4, 8)}, lora, ())
