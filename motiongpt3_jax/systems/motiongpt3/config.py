"""The sizes of a MotionGPT3, and the switches of its losses, as plain dataclasses."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from motiongpt3_jax.models import DecoderConfig, HeadConfig, VaeConfig
from motiongpt3_jax.values import FLAG, TEXT, real, setting

WEIGHT = real(0, 1e9)


@dataclass(frozen=True)
class MotionGPT3Config:
    """Everything that fixes the shapes and the constants of the model.

    Attributes:
      vae: the motion VAE.
      decoder: the two-stream decoder, streams `text` and `motion`.
      head: the diffusion head.
      vocabulary: rows of the text table without the new ids.
      latent_scale: factor from the VAE's latents to the language model's (0.8457 officially on HumanML3D); None
        measures mean and deviation of every channel while the VAE trains.
      diffusion_steps: length of the noise schedule.
      betas: first and last beta; the schedule is linear between them.
      repeats: draws of step and noise per generated clip in training (`diffusion_batch_mul`).
      flow: rectified flow instead of noise prediction.
      times: how training draws noise levels: "uniform", or "logit_normal" (2403.03206, section 3.1).
      holders: motion slots that stand for one clip.
      tied: whether one table reads and writes the text's ids; else logits are products with rows of their own.
      logit_cap: soft cap of the text's logits; None for none.
      new_ids: text ids added to it (start and end of motion).
      motion_ids: rows of the motion table; with two rows that the official table has and never uses.
    """

    vae: VaeConfig
    decoder: DecoderConfig
    head: HeadConfig
    vocabulary: int
    latent_scale: float | None
    diffusion_steps: int
    betas: tuple[float, float]
    repeats: int
    flow: bool
    times: str
    holders: int
    tied: bool = True
    logit_cap: float | None = None
    new_ids: int = 2
    motion_ids: int = 6

    def using(self, adapter: str | None) -> "MotionGPT3Config":
        """The same with a LoRA adapter of the decoder in use; none where None or empty.

        Raises:
          UserError: there is none of that name.
        """
        decoder = replace(self.decoder, adapters=self.decoder.adapters.using(adapter or None))
        return replace(self, decoder=decoder)


@dataclass(frozen=True)
class VaeObjective:
    """Weights of the VAE's loss (specified for stage "vae" of the official code).

    Attributes:
      features: smooth-L1 of all features.
      positions: smooth-L1 of the joint positions, feature columns 4 to 67.
      drift: smooth-L1 of the running sums of the root's velocities (official: 0).
      feet: L1 of places and velocities of ankles and toes (official: 0).
      kl: divergence from a standard normal, per latent value.
      padding: whether frames beyond a clip's own count (official: True).
      dropout: whether dropout is active.
    """

    features: float = setting(WEIGHT)
    positions: float = setting(WEIGHT)
    drift: float = setting(WEIGHT)
    feet: float = setting(WEIGHT)
    kl: float = setting(WEIGHT)
    padding: bool = setting(FLAG)
    dropout: bool = setting(FLAG)

    @property
    def term_weights(self) -> Mapping[str, float]:
        """Weight of each term."""
        names = ("features", "positions", "drift", "feet", "kl")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class LanguageObjective:
    """Weights and switches of the language stages' loss.

    Attributes:
      text: weight of the next-token cross-entropy; 0 skips the logits.
      diffusion: weight of the diffusion loss; 0 skips the head.
      condition_dropout: chance of each draw that its condition is the null condition (official: 0.1 in the first
        stage, then 0).
      vae_dropout: whether the frozen VAE encodes with dropout (official: True, by accident of its train mode).
      dropout: whether the decoder's and the head's dropout is active.
      adapter: name of the LoRA adapter that is used; empty for none.
    """

    text: float = setting(WEIGHT)
    diffusion: float = setting(WEIGHT)
    condition_dropout: float = setting(real(0, 1))
    vae_dropout: bool = setting(FLAG)
    dropout: bool = setting(FLAG)
    adapter: str = setting(TEXT)

    @property
    def term_weights(self) -> Mapping[str, float]:
        """Weight of each term."""
        return {"text": self.text, "diffusion": self.diffusion}
