"""The published MotionLLM's adapters, rows of motions and VQ-VAE, over a language model, as a MotionLLM of ours."""

from collections.abc import Collection, Mapping
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.interface import ModelSpec, Variables
from motiongpt3_jax.systems.language_models import PUBLISHED, read_sizes
from motiongpt3_jax.systems.language_models.stored import SWITCHES
from motiongpt3_jax.systems.motion_codes.system import CodeModel
from motiongpt3_jax.systems.motion_codes.vqvae_names import (
    WITHOUT_AVERAGES,
    codebook_of,
    vqvae_features,
    vqvae_sizes,
)
from motiongpt3_jax.systems.motionllm import identify_checkpoint
from motiongpt3_jax.systems.motionllm.build import build_config
from motiongpt3_jax.systems.motionllm.identify_checkpoint import adapter_sections, split_tensors
from motiongpt3_jax.systems.motionllm.name_table import VQVAE, adapter_table, vqvae_table
from motiongpt3_jax.systems.motionllm.pretrained import WHAT, pretrained_language
from motiongpt3_jax.systems.motionllm.prompts import official_questions
from motiongpt3_jax.systems.weights import Identified
from motiongpt3_jax.tensors.name_table import from_state_dict
from motiongpt3_jax.tensors.stored_tensors import CONFIG, checkpoint_folder, read_json

ADAPTERS_ALONE = (
    "the tensors are adapters and rows of motions of a MotionLLM: name the language model that they adapt with --base, "
    "a folder or a hub name such as google/gemma-2-2b"
)


LEAST = {"width": 8, "layers": 1, "heads": 1, "kv_heads": 1, "head_width": 8, "mlp_width": 8}
"""The language model beside a motion tokenizer alone: fresh, and never used; a training from the model has its own."""


class MotionLLMImporter:
    """See `systems.weights.Importer`."""

    reads = "a MotionLLM's motionllm.pth, or its VQ-VAE, which T2M-GPT has too"
    companions = ("vqvae.pth",)

    def find_config(self, names: Collection[str]) -> str | None:
        """That of the published model."""
        return identify_checkpoint.find_config(names)

    def identify(
        self, tensors: Mapping[str, np.ndarray], config: Mapping[str, Any], chosen: Collection[str]
    ) -> Identified:
        """What the tensors are, with their sizes in the config, and those of the language model that they adapt."""
        (adapters, vqvae), model, base = split_tensors(tensors), config["model"], config["pretrained"]
        features, notes = None, []
        if adapters and not base:
            raise UserError(ADAPTERS_ALONE)
        sizes = base_sizes(base, model["language"]) if adapters else LEAST
        model = {**model, "language": {**model["language"], **sizes}}
        if adapters:
            sections = adapter_sections(_shapes(adapters), model["lora"], chosen)
            model = {**model, "lora": {**model["lora"], **sections}}
        if vqvae:
            shapes, features = _shapes(vqvae), vqvae_features(_shapes(vqvae), VQVAE)
            model = {**model, "vqvae": {**model["vqvae"], **vqvae_sizes(shapes, VQVAE)}}
            notes.append(WITHOUT_AVERAGES)
        there = {"tokenizer": vqvae, "language": adapters, "motion": adapters}
        return Identified(
            tensors,
            {**config, "model": model},
            features,
            None,
            base if adapters else config["tokenizer"],
            tuple(part for part, found in there.items() if not found),
            official_questions()["official_eval"] if adapters else {},
            tuple(notes),
        )

    def variables(self, identified: Identified, spec: ModelSpec) -> Variables:
        """All arrays: those of the tensors, and of the language model, which are not read yet; the others fresh."""
        config = build_config(spec)
        system, (adapters, vqvae) = CodeModel(config), split_tensors(identified.tensors)
        shapes = _shapes(flatten_dict(system.shapes.params, sep="/"))
        found: dict[str, Any] = {}
        if vqvae:
            found |= flatten_dict(from_state_dict(vqvae, vqvae_table(config)), sep="/")
        if adapters:
            names = {*adapter_sections(_shapes(adapters), spec.config["model"]["lora"], ())}
            found |= flatten_dict(from_state_dict(adapters, adapter_table(config, shapes, names)), sep="/")
            found |= flatten_dict(pretrained_language(spec.config["pretrained"], spec), sep="/")
        table = found.pop("state/codebook/table", None)
        missing = shapes.keys() - found.keys()

        @jax.jit
        def fresh(key: jax.Array) -> tuple[dict[str, Any], Any]:
            made = system.init(key)
            return {path: x for path, x in flatten_dict(made.params, sep="/").items() if path in missing}, made.state

        params, state = fresh(jax.random.key(0))
        state = state if table is None else {"codebook": codebook_of(table)}
        return Variables(unflatten_dict({**found, **params}, sep="/"), state)


def base_sizes(place: str, language: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the config's section `model.language` that a published language model says.

    Args:
      place: its folder, or its name on the hub.
      language: the section; what it switches off stays off.

    Raises:
      FileNotFoundError: there is no such model.
      UserError: it is of a family that is not read.
    """
    folder = checkpoint_folder(place, WHAT)
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(f"'{folder}' has no {CONFIG}; give the folder of {WHAT} checkpoint")
    values = read_json(folder / CONFIG)
    if "system" in values:
        raise UserError(f"--base {place}: a model's folder is there; give the folder or hub name of {WHAT} checkpoint")
    kind = values.get("model_type")
    family = next((family for family, published in PUBLISHED.items() if kind in published.models), None)
    if family is None:
        raise UserError(f"--base {place}: '{folder / CONFIG}' describes a {kind!r}; {WHAT} is read")
    sizes = read_sizes(values, family, f"'{folder / CONFIG}'")
    most = values.get("max_position_embeddings")
    if isinstance(most, int):
        sizes["max_positions"] = min(most, language["max_positions"])
    return {**sizes, **{name: None for name in SWITCHES if language[name] is None}}


def _shapes(tensors: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
