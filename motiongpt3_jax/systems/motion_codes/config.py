"""The sizes of a language model with codes of motion, and the switches of its losses, as plain dataclasses."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from motiongpt3_jax.models import DecoderConfig, T5Config, VqVaeConfig
from motiongpt3_jax.models.vqvae_loss import DISTANCES
from motiongpt3_jax.values import FLAG, TEXT, one_of, real, setting

WEIGHT = real(0, 1e9)


@dataclass(frozen=True)
class CodeModelConfig:
    """Everything that fixes the shapes and the constants of the model.

    Attributes:
      vqvae: the motion tokenizer.
      permute: whether codes that are hardly used are re-seeded from random places of a batch, or (as officially) from
        its first ones.
      language: a T5, or a decoder alone.
      words: ids of the tokenizer.
      new_ids: ids that follow them: those of motions, and of sentinels where the tokenizer has none.
      codes_at: how many of these come before the codes.
      tied: whether a decoder alone reads and writes ids with one table.
      logit_cap: soft cap of its logits; None for none.
      base_dtype: in which it is held while it is frozen.
      later_ids: how many of the new ids, the last ones, are of two people, and have a table of their own.
    """

    vqvae: VqVaeConfig
    permute: bool
    language: T5Config | DecoderConfig
    words: int
    new_ids: int
    codes_at: int = 0
    tied: bool = True
    logit_cap: float | None = None
    base_dtype: str = "float32"
    later_ids: int = 0

    @property
    def first_code(self) -> int:
        """The id of code 0."""
        return self.words + self.codes_at

    def using(self, adapter: str | None) -> "CodeModelConfig":
        """The same with a LoRA adapter of the language model in use; none where None or empty.

        Raises:
          UserError: there is none of that name.
        """
        language = replace(self.language, adapters=self.language.adapters.using(adapter or None))
        return replace(self, language=language)


@dataclass(frozen=True)
class TokenizerObjective:
    """Weights of the motion tokenizer's loss.

    Attributes:
      features: of the distance of all features.
      positions: of the distance of the joint positions (officially called velocity).
      commit: of the squared distance of what is encoded from its code.
      distance: how far numbers are from what was encoded, one of `models.vqvae_loss.DISTANCES`.
    """

    features: float = setting(WEIGHT)
    positions: float = setting(WEIGHT)
    commit: float = setting(WEIGHT)
    distance: str = setting(one_of(*DISTANCES))

    @property
    def term_weights(self) -> Mapping[str, float]:
        """Weight of each term."""
        return {name: getattr(self, name) for name in ("features", "positions", "commit")}


@dataclass(frozen=True)
class LanguageObjective:
    """Weights and switches of the language stages' loss.

    Attributes:
      text: weight of the next-token cross-entropy.
      dropout: whether dropout is active.
      words_alone, motion_alone: shares of the samples that are words alone, and motion alone.
      hidden: share of their ids that span corruption hides; a decoder alone predicts all of them instead.
      span: mean length of a hidden span.
      adapter: name of the LoRA adapter that is used; empty for none.
    """

    text: float = setting(WEIGHT)
    dropout: bool = setting(FLAG)
    words_alone: float = setting(real(0, 1))
    motion_alone: float = setting(real(0, 1))
    hidden: float = setting(real(0, 1, above=True, below=True))
    span: float = setting(real(1, 1000))
    adapter: str = setting(TEXT)

    @property
    def term_weights(self) -> Mapping[str, float]:
        """Weight of the only term."""
        return {"text": self.text}

    @property
    def unpaired(self) -> float:
        """Share of the samples that have no question."""
        return self.words_alone + self.motion_alone
