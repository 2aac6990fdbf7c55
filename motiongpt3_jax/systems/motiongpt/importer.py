"""A MotionGPT of the official code, its VQ-VAE, a T5 or a GPT-2 as a MotionGPT of ours."""

from collections.abc import Collection, Mapping
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.interface import ModelSpec, Variables
from motiongpt3_jax.systems.motion_codes.system import CodeModel
from motiongpt3_jax.systems.motion_codes.vqvae_names import WITHOUT_AVERAGES
from motiongpt3_jax.systems.motiongpt import identify_checkpoint
from motiongpt3_jax.systems.motiongpt.build import build_config
from motiongpt3_jax.systems.motiongpt.identify_checkpoint import identify_tensors, sizes_from_shapes
from motiongpt3_jax.systems.motiongpt.name_table import LANGUAGE, VQVAE, language_table
from motiongpt3_jax.systems.motiongpt.official import from_official
from motiongpt3_jax.systems.motiongpt.prompts import OFFICIAL_QUESTIONS
from motiongpt3_jax.systems.weights import Identified
from motiongpt3_jax.tensors.name_table import from_state_dict

TOKENIZERS = {"t5": "google/flan-t5-base", "gpt2": "openai-community/gpt2", None: "google/flan-t5-base"}
"""Hub name of the tokenizer of each kind of language model."""

UNTRAINED = {"whole": (), "tokenizer": ("language",), "language": ("tokenizer",)}
"""The parts that each kind of checkpoint leaves fresh."""

EMBEDDINGS = (f"{LANGUAGE}shared.weight", f"{LANGUAGE}transformer.wte.weight")
"""Official name of the table of ids, of a T5 and of a GPT-2."""

GPT2_HEAD = 64
"""Width of the heads of every GPT-2."""


class MotionGPTImporter:
    """See `systems.weights.Importer`."""

    reads = "a MotionGPT, its VQ-VAE or a T5 v1.1 such as FLAN-T5"
    companions = ()

    def find_config(self, names: Collection[str]) -> str | None:
        """That of the published model, or of its variant with a GPT-2."""
        return identify_checkpoint.find_config(names)

    def identify(
        self, tensors: Mapping[str, np.ndarray], config: Mapping[str, Any], chosen: Collection[str]
    ) -> Identified:
        """What the tensors are, with their sizes in the config."""
        checkpoint = identify_tensors(tensors)
        sizes, notes = sizes_from_shapes(checkpoint), [checkpoint.note] if checkpoint.note else []
        model = config["model"]
        if checkpoint.lm not in (None, model["lm"]):
            raise UserError(
                f"the language model of the tensors is a {checkpoint.lm}, and config.model.lm {model['lm']!r}: give "
                f"--config {identify_checkpoint.find_config(tensors)}"
            )
        language = {**model["language"], **sizes.model.get("language", {})}
        if checkpoint.lm == "gpt2":
            heads, note = _gpt2_heads(language["width"], model["language"], "model.language.heads" in chosen)
            language |= {"heads": heads, "head_width": language["width"] // heads}
            notes += note
        if checkpoint.kind != "language":
            notes.append(WITHOUT_AVERAGES)
        vqvae = {**model["vqvae"], **sizes.model.get("vqvae", {})}
        return Identified(
            checkpoint.tensors,
            {**config, "model": {**model, "vqvae": vqvae, "language": language}},
            sizes.features,
            # A published T5 has rows to spare, and others may have sentinels behind the ids of motions.
            None,
            TOKENIZERS[checkpoint.lm],
            UNTRAINED[checkpoint.kind],
            # The templates here are not those that it was trained with.
            OFFICIAL_QUESTIONS["official_eval"] if checkpoint.kind == "whole" else {},
            tuple(notes),
        )

    def variables(self, identified: Identified, spec: ModelSpec) -> Variables:
        """All arrays: those of the tensors, the others fresh."""
        config = build_config(spec)
        if not identified.untrained:
            _require_rows(identified.tensors, config.words, config.new_ids)
            return from_official(identified.tensors, config)
        fresh = jax.jit(CodeModel(config).init)(jax.random.key(0))
        if identified.untrained == UNTRAINED["tokenizer"]:
            part = from_official(identified.tensors, config, VQVAE)
            return Variables({**fresh.params, **part.params}, part.state)
        params = flatten_dict(fresh.params, sep="/") | _language_alone(identified.tensors, spec, fresh.params)
        return fresh.replace(params=unflatten_dict(params, sep="/"))


def _gpt2_heads(width: int, language: Mapping[str, Any], chosen: bool) -> tuple[int, list[str]]:
    """(heads of a GPT-2, what there is to say of them): those of the config where it has this width."""
    if chosen or width == language["width"]:
        return language["heads"], []
    if width % GPT2_HEAD:
        raise UserError(f"the GPT-2 is {width} wide; say how many heads it has: --config.model.language.heads=N")
    heads = width // GPT2_HEAD
    return heads, [f"assumed {heads} heads, each {GPT2_HEAD} wide; else give --config.model.language.heads=N"]


def _require_rows(tensors: Mapping[str, np.ndarray], words: int, new: int | None = None) -> int:
    """Rows behind those of words: as many as are new, or of a published model any number.

    Raises:
      UserError: the tokenizer is another one than the model's.
    """
    name = next(name for name in EMBEDDINGS if name in tensors)
    rows = len(tensors[name])
    if rows < words or new not in (None, rows - words):
        behind = f" and {new} for motions" if new is not None else ""
        raise UserError(
            f"{name} has {rows} rows, and there are {words} ids of the tokenizer{behind}: give the tokenizer that the "
            "model was trained with as --tokenizer"
        )
    return rows - words


def _language_alone(tensors: Mapping[str, np.ndarray], spec: ModelSpec, fresh: Mapping[str, Any]) -> dict[str, Any]:
    """Flat parameters of a published language model; rows that it has to spare are what the first codes start from."""
    config, words = build_config(spec), spec.tokenizer.size
    table = language_table(config.language, words, _require_rows(tensors, words)).with_prefix(LANGUAGE)
    params = flatten_dict(from_state_dict(tensors, table), sep="/")
    for name in {"vocabulary/new", "vocabulary/new_head"} & params.keys():
        rows = np.array(fresh["vocabulary"][name.rpartition("/")[2]])
        spare = params[name][: len(rows)]
        rows[: len(spare)] = spare
        params[name] = rows
    return params
