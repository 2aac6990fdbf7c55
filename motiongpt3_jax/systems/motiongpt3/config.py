"""The sizes of a MotionGPT3, and the switches of its losses, as plain dataclasses."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from motiongpt3_jax.models import DecoderConfig, HeadConfig, StreamConfig, VaeConfig


@dataclass(frozen=True)
class MotionGPT3Config:
    """Everything that fixes the shapes and the constants of the model.

    Attributes:
      vae: the motion VAE.
      decoder: the two-stream decoder, streams `text` and `motion`.
      head: the diffusion head.
      vocabulary: rows of the text table without the new ids.
      new_ids: text ids added to it (start and end of motion).
      motion_ids: rows of the motion table; with two rows that the official table has and never uses.
      holders: motion slots that stand for one clip.
      latent_scale: factor from the VAE's latents to the language model's (0.8457 officially on HumanML3D); None
        measures mean and deviation of every channel while the VAE trains.
      diffusion_steps: length of the noise schedule.
      betas: first and last beta; the schedule is linear between them.
      repeats: draws of step and noise per generated clip in training (`diffusion_batch_mul`).
      flow: rectified flow instead of noise prediction.
    """

    vae: VaeConfig = field(default_factory=VaeConfig)
    decoder: DecoderConfig = field(
        default_factory=lambda: DecoderConfig(
            streams=(StreamConfig("text", 768, 3072), StreamConfig("motion", 768, 3072)),
            layers=12,
            heads=12,
            head_width=64,
            max_positions=1024,
            shared=(True,) * 12,
        )
    )
    head: HeadConfig = field(default_factory=HeadConfig)
    vocabulary: int = 50257
    new_ids: int = 2
    motion_ids: int = 6
    holders: int = 4
    latent_scale: float | None = 0.8457
    diffusion_steps: int = 1000
    betas: tuple[float, float] = (0.00085, 0.012)
    repeats: int = 4
    flow: bool = False


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

    features: float = 1.0
    positions: float = 0.5
    drift: float = 0.0
    feet: float = 0.0
    kl: float = 1e-5
    padding: bool = False
    dropout: bool = True

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
    """

    text: float = 1.0
    diffusion: float = 1.0
    condition_dropout: float = 0.1
    vae_dropout: bool = False
    dropout: bool = True

    @property
    def term_weights(self) -> Mapping[str, float]:
        """Weight of each term."""
        return {"text": self.text, "diffusion": self.diffusion}
