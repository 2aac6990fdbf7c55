"""The parts of a language model with codes of motion, made from its sizes."""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp

from motiongpt3_jax.models import VqVae, VqVaeConfig, empty_codebook
from motiongpt3_jax.models.constrain import Constrain
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motion_codes.config import CodeModelConfig
from motiongpt3_jax.systems.motion_codes.language import LanguageModel, make_language
from motiongpt3_jax.systems.motion_codes.tokens import FRAMES_PER_CODE


@dataclass(frozen=True)
class Modules:
    """The model's Flax modules.

    Attributes:
      config: the sizes.
      constrain: where a mesh may pin the sharding of an activation, by its name.
    """

    config: CodeModelConfig
    constrain: Constrain | None = None

    def using(self, adapter: str | None) -> "Modules":
        """The same with a LoRA adapter in use, see `CodeModelConfig.using`."""
        return replace(self, config=self.config.using(adapter))

    @cached_property
    def vqvae(self) -> VqVae:
        """Clips to vectors and back."""
        return VqVae(self.config.vqvae, **({"constrain": self.constrain} if self.constrain else {}))

    @cached_property
    def language(self) -> LanguageModel:
        """Words and codes to words and codes."""
        return make_language(self.config, self.constrain)

    @property
    def ids(self) -> int:
        """Number of all ids."""
        return self.config.words + self.config.new_ids


@partial(jax.jit, static_argnames="config")
def init(config: CodeModelConfig, rng: jax.Array) -> Variables:
    """Fresh variables; the codebook is filled by the first batch that trains it.

    Under `jit`, a process traces each config once, and its VQ-VAE, for shapes and for numbers.
    """
    language, keys = Modules(config).language, jax.random.split(rng, 3)
    params = {
        "vqvae": _init_vqvae(config.vqvae, keys[0]),
        **language.init(keys[1]),
        "vocabulary": language.vocabulary.init(keys[2], jnp.zeros((1, 1), jnp.int32))["params"],
    }
    return Variables(params, {"codebook": empty_codebook(config.vqvae.codes, config.vqvae.code_width)})


@partial(jax.jit, static_argnames="config")
def _init_vqvae(config: VqVaeConfig, rng: jax.Array) -> dict[str, Any]:
    clip = jnp.zeros((1, FRAMES_PER_CODE, config.features))
    return VqVae(config).init(rng, clip, jnp.full((1,), FRAMES_PER_CODE))["params"]
