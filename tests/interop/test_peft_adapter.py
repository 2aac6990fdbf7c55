"""LoRA adapters as PEFT's folders: there and back, and what cannot go there."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from motiongpt3_jax.configs.sections import adapter
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.exported import write_exported
from motiongpt3_jax.inference.folder import ModelFolder, plain, read_folder
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.interop.peft_adapter import read_peft, write_peft
from motiongpt3_jax.models import merge_adapter
from motiongpt3_jax.systems.adapters import read_adapters
from motiongpt3_jax.systems.motiongpt.kind import KIND as MOTIONGPT
from motiongpt3_jax.systems.motiongpt.pretrained import published_names as t5_names
from motiongpt3_jax.systems.motiongpt3.pretrained import published_names
from motiongpt3_jax.systems.motiongpt3.prompts import TOKEN_SPEC
from motiongpt3_jax.tensors.name_table import to_state_dict
from motiongpt3_jax.text import train_tokenizer
from tests.commands.conftest import call
from tests.inference.models import model_folder, random_body, random_variables
from tests.systems.llama import CONFIG, IDS, logits_of, spec_of
from tests.systems.motiongpt import small

TOKENS = np.array([[5, 9, 200, 7, 3, 1, 299, 42], [8, 2, 1, 0, 77, 6, 5, 4]], np.int32)


def with_lora(config, **lora):
    config = plain(config)
    return {**config, "model": {**config["model"], "lora": lora}}


def llama(*targets, **options):
    """(folder, variables) of a model with Llama's blocks and an adapter of rank 4."""
    spec = spec_of()
    config = with_lora(spec.config, t2m=adapter(4, targets, alpha=6.0, **options))
    folder = ModelFolder(Path("nowhere"), config, spec.tokenizer, random_body())
    return folder, random_variables(folder)[1]


def test_an_adapter_comes_back_as_it_went(tmp_path):
    folder, variables = llama("text/(q|o|down)")
    files = write_peft(tmp_path, folder, variables, "t2m")
    assert [path.name for path in files] == ["adapter_config.json", "adapter_model.safetensors"]
    without = replace(folder, config=with_lora(folder.config))
    section, params = read_peft(tmp_path, without, "walk")
    assert section == adapter(4, ("text/down", "text/o", "text/q"), alpha=6.0)
    ours = {path: x for path, x in flatten_dict(variables.params, sep="/").items() if "/lora/" in path}
    found = {path.replace("/walk/", "/t2m/"): x for path, x in flatten_dict(params, sep="/").items()}
    assert found.keys() == ours.keys()
    for path, x in ours.items():
        np.testing.assert_array_equal(found[path], x, err_msg=path)


def test_a_projection_without_a_name_there_is_said(tmp_path):
    folder, variables = llama("motion/q")
    with pytest.raises(UserError, match="decoder/layers/motion/q is no projection of the published model"):
        write_peft(tmp_path, folder, variables, "t2m")
    gpt2 = model_folder()
    gpt2 = replace(gpt2, config=with_lora(gpt2.config, t2m=adapter(4, ("text/q",))))
    with pytest.raises(UserError, match=r"text/q is a part of transformer\.h\.0\.attn\.c_attn in the published"):
        write_peft(tmp_path, gpt2, random_variables(gpt2)[1], "t2m")


def test_an_adapter_of_another_kind_is_refused(tmp_path):
    folder, variables = llama("text/q")
    write_peft(tmp_path, folder, variables, "t2m")
    path = tmp_path / "adapter_config.json"
    config = json.loads(path.read_text())
    for change, said in (
        ({"use_dora": True}, "has use_dora True, which is not read; False is"),
        ({"r": 3}, "lora_A.weight"),
        ({"r": None}, "has r None; it must be a number above 0"),
    ):
        path.write_text(json.dumps(config | change))
        with pytest.raises(UserError, match=said):
            read_peft(tmp_path, folder, "walk")


def test_exports_merge_an_adapter_or_keep_it_and_imports_bring_one(tmp_path):
    folder, variables = llama("text/(q|o)")
    folder = replace(folder, tokenizer=train_tokenizer(["a person walks"], IDS, TOKEN_SPEC))
    _, variables = random_variables(folder)
    model = tmp_path / "model"
    write_exported(model, folder, variables, ("tune", 7))

    def export(*options):
        return call("export", "--model", model, "--out", tmp_path / "out", *options)

    assert export("--format", "pytorch")[0] == 2
    status, _, error = export("--format", "safetensors", "--adapter", "walk")
    assert status == 2
    assert "the model has no such LoRA adapter; it has: t2m" in error
    status, _, error = export("--format", "safetensors", "--adapter", "t2m")
    assert status == 0, error
    merged = read_folder(tmp_path / "out")
    assert merged.config["model"]["lora"] == {}
    expected, _ = merge_adapter(variables.params, read_adapters(folder.config["model"]["lora"]), "t2m")
    found, expected = (flatten_dict(x, sep="/") for x in (read_variables(merged)[2].params, expected))
    assert found.keys() == {path for path in expected if "/lora/" not in path}
    for path, x in found.items():
        np.testing.assert_array_equal(x, expected[path], err_msg=path)

    status, _, error = call("export", "--model", model, "--out", tmp_path / "peft", "--format", "peft")
    assert status == 0, error
    status, _, error = call("import", "--from", tmp_path / "peft", "--out", tmp_path / "again")
    assert status == 2
    assert "is a LoRA adapter: name the model that it adapts with --base" in error
    status, _, error = call(
        "import",
        "--from",
        tmp_path / "peft",
        "--base",
        tmp_path / "out",
        "--adapter",
        "t2m",
        "--out",
        tmp_path / "again",
    )
    assert status == 0, error
    again = read_variables(read_folder(tmp_path / "again"))[2].params["decoder"]["layers"]["text"]
    for name in "qo":
        jax.tree.map(
            np.testing.assert_array_equal,
            again[name]["lora"],
            variables.params["decoder"]["layers"]["text"][name]["lora"],
        )


@pytest.mark.torch
def test_logits_are_those_of_peft(tmp_path):
    import peft
    import torch
    import transformers

    folder, variables = llama("text/.*")
    write_peft(tmp_path, folder, variables, "t2m")
    values = {key: value for key, value in CONFIG.items() if key != "model_type"}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=IDS, **values)).eval()
    tensors = to_state_dict(variables.params, published_names(folder.spec))
    model.load_state_dict({name: torch.from_numpy(x) for name, x in tensors.items()})
    adapted = peft.PeftModel.from_pretrained(model, tmp_path).eval()
    with torch.no_grad():
        wanted = adapted(torch.from_numpy(TOKENS.astype(np.int64))).logits.numpy()
        base = adapted.base_model.model
        with adapted.disable_adapter():
            plain_logits = base(torch.from_numpy(TOKENS.astype(np.int64))).logits.numpy()
    found = logits_of(folder.spec, variables.params, TOKENS, "t2m")
    assert np.abs(wanted - plain_logits).max() > 0.1
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
    adapted.save_pretrained(tmp_path / "again")
    section, params = read_peft(tmp_path / "again", replace(folder, config=with_lora(folder.config)), "t2m")
    assert (section["rank"], section["alpha"]) == (4, 6.0)
    jax.tree.map(
        np.testing.assert_array_equal,
        params["decoder"]["layers"]["text"]["gate"]["lora"],
        variables.params["decoder"]["layers"]["text"]["gate"]["lora"],
    )


def check_merged(folder, variables, model, place, names, changed):
    """PEFT adds an adapter to the kernels of a published model as we do, and to so many."""
    import peft
    import torch

    write_peft(place, folder, variables, "t2m")
    tensors = to_state_dict(variables.params, names)
    model.load_state_dict({name: torch.from_numpy(np.array(x)) for name, x in tensors.items()}, strict=False)
    merged = peft.PeftModel.from_pretrained(model, place).merge_and_unload().state_dict()
    ours, _ = merge_adapter(variables.params, read_adapters(folder.config["model"]["lora"]), "t2m")
    found = 0
    for name, x in to_state_dict(ours, names).items():
        if not name.startswith(("shared", "encoder.embed", "decoder.embed", "lm_head")):  # here T5's tables are one
            np.testing.assert_allclose(merged[name].numpy(), x, atol=1e-6, err_msg=name)
        found += not np.array_equal(x, tensors[name])
    assert found == changed


@pytest.mark.torch
def test_a_gpt2_merges_as_peft_merges_it(tmp_path):
    import transformers

    folder = model_folder()
    folder = replace(folder, config=with_lora(folder.config, t2m=adapter(4, ("text/(o|up|down)",))))
    decoder, variables = folder.config["model"]["decoder"], random_variables(folder)[1]
    config = transformers.GPT2Config(
        vocab_size=variables.params["vocabulary"]["text"]["table"].shape[0],
        n_positions=decoder["max_positions"],
        n_embd=decoder["width"],
        n_layer=decoder["layers"],
        n_head=decoder["heads"],
    )
    names = published_names(folder.spec)
    check_merged(folder, variables, transformers.GPT2LMHeadModel(config), tmp_path, names, 3 * decoder["layers"])


@pytest.mark.torch
def test_a_t5_merges_as_peft_merges_it(tmp_path):
    import transformers

    spec = small.spec_of()
    config = with_lora(spec.config, t2m=adapter(4, ("source/(q|down)", "target/cross/(k|o)", "target/gate")))
    folder = ModelFolder(Path("nowhere"), config, spec.tokenizer, random_body())
    variables = small.variables_of(MOTIONGPT.make_system(folder.spec))
    language = config["model"]["language"]
    model = transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=sum(len(variables.params["vocabulary"][name]) for name in ("table", "new")),
            d_model=language["width"],
            d_kv=language["head_width"],
            d_ff=language["mlp_width"],
            num_layers=language["layers"],
            num_heads=language["heads"],
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
        )
    )
    check_merged(folder, variables, model, tmp_path, t5_names(folder.spec), 5 * language["layers"])
