"""Sizes of the published base and of its adapters, by shapes alone."""

import math
from functools import cache

import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.models.lora import ADAPTER
from motiongpt3_jax.systems.adapter_names import factor_table, kernels_by_projection
from motiongpt3_jax.systems.interface import ModelSpec
from motiongpt3_jax.systems.motionllm.kind import KIND
from motiongpt3_jax.systems.motionllm.tokens import TOKEN_SPEC
from motiongpt3_jax.systems.shapes import array_shapes
from motiongpt3_jax.text.tokenizer import blank_tokenizer
from tests.golden import MOTIONLLM

pytestmark = pytest.mark.golden

NEW = 514
"""Start, end, and 512 codes."""


@cache
def published():
    """(what fixes the published model, the shapes of its arrays)."""
    ids = MOTIONLLM.json("layout")["base_model_gemma_2_2b"]["keys"]["model.embed_tokens.weight"][0]
    spec = ModelSpec(
        plain(load_config("motionllm:gemma2_2b:official").to_dict()), 263, blank_tokenizer(TOKEN_SPEC, ids)
    )
    return spec, array_shapes(KIND, spec)


def test_the_base_has_the_published_tensors():
    spec, shapes = published()
    theirs = MOTIONLLM.json("layout")["base_model_gemma_2_2b"]["keys"]
    table = KIND.weights.published_names(spec)
    assert {name: list(shape) for name, shape in table.shapes.items()} == theirs
    assert {entry.path for entry in table.entries} == {
        path for path in shapes if path.startswith(("decoder", "vocabulary")) and "/lora/" not in path
    } - {"vocabulary/new"}
    assert shapes["vocabulary/new"] == (NEW, theirs["model.embed_tokens.weight"][1])


def test_adapters_have_the_published_tensors_and_numbers_of_parameters():
    spec, shapes = published()
    layout = MOTIONLLM.json("layout")["motionllm.pth"]
    kernels = kernels_by_projection(KIND.weights.published_names(spec))
    names, counts = {}, {}
    for name, section in spec.config["model"]["lora"].items():
        factors = {
            path: shape for path, shape in shapes.items() if (m := ADAPTER.fullmatch(path)) and m["name"] == name
        }
        counts[f"{name}_r{section['rank']}"] = sum(map(math.prod, factors.values()))
        for key, shape in factor_table(kernels, shapes, kernels, name, named=True).shapes.items():
            names[key] = list(shape)
    assert names == {key: shape for key, shape in layout["keys"].items() if "lora" in key}
    assert counts == {key: count for key, count in layout["count"].items() if "_" in key}
    # The number grows with the rank.
    assert counts["t2m_r64"] == layout["count"]["r16"] * 4
    assert shapes["vocabulary/new"] == tuple(layout["keys"]["embeddings"]) == tuple(layout["keys"]["lm_head"])
