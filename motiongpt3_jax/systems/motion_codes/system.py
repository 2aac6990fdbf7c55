"""The system interface over the parts of a language model with codes of motion."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import jax

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.models import DECODER_RULES
from motiongpt3_jax.models.constrain import Constrain
from motiongpt3_jax.systems.interface import Loss, System, Tree, Variables
from motiongpt3_jax.systems.motion_codes.config import CodeModelConfig
from motiongpt3_jax.systems.motion_codes.flops import train_flops
from motiongpt3_jax.systems.motion_codes.losses import Draws, advance, draw, language_terms, tokenizer_terms
from motiongpt3_jax.systems.motion_codes.modules import Modules, init

BASE = (r"decoder/(?!.*/lora/).*", "vocabulary/(table|head)")
"""Parameters of a decoder language model as it comes trained."""


class CodeModel(System):
    """Losses of a language model that reads and writes codes of motion, as pure functions of arrays.

    Attributes:
      config: the sizes.
      modules: the parts.
    """

    sharding_rules = DECODER_RULES

    def __init__(self, config: CodeModelConfig, constrain: Constrain | None = None):
        self.config = config
        self.modules = Modules(config, constrain)

    @property
    def dtypes(self) -> Sequence[tuple[str, str]]:
        """In which a frozen language model is held, a decoder alone."""
        dtype = self.config.base_dtype
        return () if dtype == "float32" else tuple((pattern, dtype) for pattern in BASE)

    @cached_property
    def losses(self) -> Mapping[str, Loss]:
        """`tokenizer` trains the VQ-VAE and its codebook, `language` words and codes."""
        return MappingProxyType(
            {
                "tokenizer": partial(tokenizer_terms, self.modules),
                "language": partial(language_terms, self.modules),
            }
        )

    def init(self, rng: jax.Array) -> Variables:
        """Fresh variables."""
        return init(self.config, rng)

    def draw(self, key: jax.Array, batch: Batch, train: bool) -> Draws:
        """Every random number of a loss on `batch`."""
        return draw(self.modules, key, batch, train)

    def train_flops(self, loss: str, batch: Batch, objective: Any = None, frozen: Collection[str] = ()) -> float:
        """FLOPs of a training step for the frames and tokens that a batch holds."""
        return train_flops(self.config, loss, batch, getattr(objective, "adapter", ""), frozen)

    def advance(self, state: Tree, sums: Tree) -> Tree:
        """The codebook after one update."""
        return advance(state, sums)
