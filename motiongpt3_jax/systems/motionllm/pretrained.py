"""A published language model as MotionLLM's base, whose tensors are read where they are needed."""

from collections.abc import Sequence
from pathlib import Path

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.interface import ModelSpec, Tree
from motiongpt3_jax.systems.language_models import PUBLISHED, language_model_table, stored_language_model
from motiongpt3_jax.systems.motionllm.build import decoder_config
from motiongpt3_jax.systems.motionllm.check import read_model
from motiongpt3_jax.tensors.name_table import NameTable
from motiongpt3_jax.tensors.stored_tensors import checkpoint_folder, weight_files

NAMES = [published.title.removeprefix("a ") for published in PUBLISHED.values()]
WHAT = f"a {', '.join(NAMES[:-1])} or {NAMES[-1]}"
"""What a base may be, in words."""


def pretrained_language(place: str, spec: ModelSpec) -> Tree:
    """The base's parameters, none of which is read yet; rows of motions and adapters start fresh.

    Raises:
      FileNotFoundError: there is no such model, or a file of it is missing.
      UserError: it is damaged, of another kind, or has other sizes than the config; says what to set.
    """
    model = read_model(spec.config["model"])
    if model.language.family not in PUBLISHED:
        raise UserError(
            f"config.pretrained is {place!r}, and config.model.language.family {model.language.family!r}, whose "
            f"published models are not read here; set one of {', '.join(PUBLISHED)}"
        )
    return stored_language_model(
        place, model.language, decoder_config(model), spec.tokenizer.size, "vocabulary", "model.language"
    )


def published_names(spec: ModelSpec) -> NameTable:
    """Names of the language model's tensors in the published model of its family, with its head."""
    model, ids = read_model(spec.config["model"]), spec.tokenizer.size
    return language_model_table(decoder_config(model), ids, ids, model.language.tied)


def pretrained_files(place: str) -> Sequence[Path]:
    """The files that a base is read from."""
    return weight_files(checkpoint_folder(place, WHAT), WHAT)
