"""A MotionGPT3 of the official code, MLD's motion VAE or a GPT-2 as a MotionGPT3 of ours."""

from collections.abc import Collection, Mapping
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.interface import ModelSpec, Variables
from motiongpt3_jax.systems.motiongpt3.build import build_config, sizes_of
from motiongpt3_jax.systems.motiongpt3.gpt2 import from_gpt2
from motiongpt3_jax.systems.motiongpt3.identify_checkpoint import has_known_names, identify_tensors, sizes_from_shapes
from motiongpt3_jax.systems.motiongpt3.latents import OFFICIAL_SCALE
from motiongpt3_jax.systems.motiongpt3.modules import latent_state
from motiongpt3_jax.systems.motiongpt3.official import from_official
from motiongpt3_jax.systems.motiongpt3.parts import KINDS, PARTS
from motiongpt3_jax.systems.motiongpt3.system import MotionGPT3
from motiongpt3_jax.systems.weights import Identified
from motiongpt3_jax.text import TASKS

GPT2_HEAD = 64
"""Width of the heads of every GPT-2."""


class MotionGPT3Importer:
    """See `systems.weights.Importer`."""

    reads = "a MotionGPT3, MLD's motion VAE or a GPT-2 of any size"
    companions = ()

    def find_config(self, names: Collection[str]) -> str | None:
        """That of the published model."""
        return "motiongpt3:base:official" if has_known_names(names) else None

    def identify(
        self, tensors: Mapping[str, np.ndarray], config: Mapping[str, Any], chosen: Collection[str]
    ) -> Identified:
        """What the tensors are, with their sizes in the config."""
        checkpoint = identify_tensors(tensors)
        sizes, notes = sizes_from_shapes(checkpoint), [checkpoint.note] if checkpoint.note else []
        model = {name: dict(value) if isinstance(value, Mapping) else value for name, value in config["model"].items()}
        decoder = model["decoder"]
        width = sizes.model.get("decoder", decoder)["width"]
        if width != decoder["width"] and "model.decoder.heads" not in chosen:
            if width % GPT2_HEAD:
                raise UserError(
                    f"the decoder is {width} wide; say how many heads it has: --config.model.decoder.heads=N"
                )
            decoder["heads"] = width // GPT2_HEAD
            assumed = f"assumed {decoder['heads']} heads in the decoder, each {GPT2_HEAD} wide"
            notes.append(f"{assumed}; else give --config.model.decoder.heads=N")
        for section, values in sizes.model.items():
            model[section].update(values)
        if model["latent_scale"] is None:
            model["latent_scale"] = OFFICIAL_SCALE
        return Identified(
            checkpoint.tensors,
            {**config, "model": model},
            sizes.features,
            sizes.vocabulary,
            "openai-community/gpt2",
            tuple(part for part in PARTS if part not in KINDS[checkpoint.kind]),
            # The templates here are not those that it was trained with; the bare questions are.
            {name: TASKS[name].question for name in ("t2m", "m2t")},
            tuple(notes),
        )

    def variables(self, identified: Identified, spec: ModelSpec) -> Variables:
        """All arrays: those of the tensors, the others fresh."""
        config = build_config(spec.config["model"], **sizes_of(spec))
        state = latent_state(config)
        parts = [part for part in PARTS if part not in identified.untrained]
        if not identified.untrained:
            return Variables(from_official(identified.tensors, config), state)
        if parts == ["vae"]:
            params = from_official(identified.tensors, config, prefix="vae.")
        else:
            params = from_gpt2(identified.tensors, config)
        fresh = jax.jit(MotionGPT3(config).init)(jax.random.key(0)).params
        merged = flatten_dict(fresh, sep="/") | flatten_dict(params, sep="/")
        return Variables(unflatten_dict(merged, sep="/"), state)
