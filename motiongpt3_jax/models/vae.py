"""The motion VAE: a clip of any length to one Gaussian latent and back (MLD, arXiv 2212.04048, section 3.1)."""

from dataclasses import dataclass

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.attention import EPS, PostNormLayer
from motiongpt3_jax.models.constrain import Constrain, unconstrained
from motiongpt3_jax.models.dense import linear
from motiongpt3_jax.models.remat import remat


@dataclass(frozen=True)
class VaeConfig:
    """Sizes of the VAE.

    Attributes:
      features: width of a frame.
      width: of the hidden states, and of a latent.
      layers: of the encoder and of the decoder; odd.
      heads, mlp_width: of each layer.
      latents: latent vectors of a clip.
      max_frames: rows of the position tables; the encoder's hold two tokens for each latent besides.
      dropout: in every layer.
      dtype: of the computation.
      remat: what layers keep for the backward pass, see `models.remat.POLICIES`; never changes parameters.
    """

    features: int
    width: int
    layers: int
    heads: int
    mlp_width: int
    latents: int
    max_frames: int
    dropout: float
    dtype: str
    remat: str

    @property
    def longest_read(self) -> int:
        """Frames of the longest clip that the encoder takes; the decoder makes up to `max_frames`."""
        return self.max_frames - 2 * self.latents

    def __post_init__(self) -> None:
        if self.layers % 2 == 0:
            raise UserError(f"the VAE has {self.layers} layers; it needs an odd number, one in the middle of the skips")
        if self.width % self.heads:
            raise UserError(f"the VAE's width {self.width} is not a multiple of its {self.heads} heads")


class _InputBlock(nn.Module):
    """A block whose output is also kept for later."""

    config: VaeConfig
    deterministic: bool
    constrain: Constrain = unconstrained

    @nn.compact
    def __call__(self, x: Array, mask: Array, memory: Array | None) -> tuple[Array, Array]:
        x = _layer(self.config, "block", self.constrain)(x, mask, memory, self.deterministic)
        return x, x


class _OutputBlock(nn.Module):
    """A block that first joins what an earlier one kept: the current states first."""

    config: VaeConfig
    deterministic: bool
    constrain: Constrain = unconstrained

    @nn.compact
    def __call__(self, x: Array, kept: Array, mask: Array, memory: Array | None) -> tuple[Array, None]:
        config, constrain = self.config, self.constrain
        join = linear(config.width, 2 * config.width, config.dtype, "join", xavier=True, constrain=constrain)
        x = join(jnp.concatenate([x, kept], -1))
        return _layer(config, "block", constrain)(x, mask, memory, self.deterministic), None


def _layer(
    config: VaeConfig, name: str, constrain: Constrain, layer: type[PostNormLayer] = PostNormLayer
) -> PostNormLayer:
    sizes = (config.width, config.heads, config.mlp_width)
    return layer(*sizes, config.dropout, True, config.dtype, constrain, name=name)


class SkipTransformer(nn.Module):
    """Input blocks, a middle block, and output blocks that each join an input block's result, the last one first.

    Blocks are stored stacked: `inputs/...` and `outputs/...` have a leading axis over blocks.
    """

    config: VaeConfig
    constrain: Constrain = unconstrained

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch slots width"],
        mask: Bool[Array, "batch slots"],
        memory: Float[Array, "batch keys width"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch slots width"]:
        """Normalised hidden states."""
        half = (self.config.layers - 1) // 2
        rngs = {"params": True, "dropout": True}
        stacked = {"variable_axes": {"params": 0, "intermediates": 0}, "split_rngs": rngs, "length": half}
        policy, blocks = self.config.remat, (self.config, deterministic, self.constrain)
        inputs = nn.scan(remat(_InputBlock, policy), in_axes=nn.broadcast, **stacked)(*blocks, name="inputs")
        x, kept = inputs(x, mask, memory)
        middle = remat(PostNormLayer, policy, looped=False, static=(4,))
        x = _layer(self.config, "middle", self.constrain, middle)(x, mask, memory, deterministic)
        axes = (0, nn.broadcast, nn.broadcast)
        outputs = nn.scan(remat(_OutputBlock, policy), in_axes=axes, **stacked)(*blocks, name="outputs")
        x, _ = outputs(x, kept[::-1], mask, memory)
        return nn.LayerNorm(epsilon=EPS, dtype=jnp.float32, name="norm")(x).astype(self.config.dtype)


def sinusoids(key: Array, shape: tuple[int, int], dtype: jnp.dtype = jnp.float32) -> Float[Array, "places width"]:
    """Initial position table: sines and cosines of rising periods (Attention Is All You Need, section 3.5).

    Neighbours in time begin alike. Independent uniform numbers, the official code's beginning, leave that to be learned
    first.
    """
    del key
    places, width = shape
    angles = np.arange(places)[:, None] * 10_000.0 ** (-np.arange(0, width, 2) / width)
    return jnp.asarray(np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, :width], dtype)


class MotionVae(nn.Module):
    """Clips to latents and back.

    Attributes:
      config: sizes.
      constrain: where a mesh may pin activations.
    """

    config: VaeConfig
    constrain: Constrain = unconstrained

    def setup(self) -> None:
        config, constrain = self.config, self.constrain
        tokens = (2 * config.latents, config.width)
        self.latent_tokens = self.param("latent_tokens", nn.initializers.normal(1.0), tokens)
        self.encoder_positions = self.param("encoder_positions", sinusoids, (config.max_frames, config.width))
        self.decoder_positions = self.param("decoder_positions", sinusoids, (config.max_frames, config.width))
        self.embed = linear(config.width, config.features, config.dtype, constrain=constrain)
        self.encoder = SkipTransformer(config, constrain)
        self.decoder = SkipTransformer(config, constrain)
        self.final = linear(config.features, config.width, config.dtype, constrain=constrain)

    def encode(
        self, features: Float[Array, "batch frames features"], frames: Int[Array, "batch"], deterministic: bool = True
    ) -> tuple[Float[Array, "batch latents width"], Float[Array, "batch latents width"]]:
        """Mean and log-variance of a clip's posterior.

        Args:
          features: normalised features.
          frames: how many frames of each clip count.
          deterministic: no dropout.

        Raises:
          UserError: the clips are longer than the position table allows.
        """
        batch, length = features.shape[:2]
        self._check(length, self.config.longest_read)
        tokens = jnp.broadcast_to(self.latent_tokens, (batch, *self.latent_tokens.shape)).astype(self.config.dtype)
        x = jnp.concatenate([tokens, self.embed(features)], axis=1)
        x = x + self._positions(self.encoder_positions, x.shape[1])
        slots = jnp.arange(x.shape[1])
        mask = slots < tokens.shape[1] + frames[:, None]
        x = self.encoder(x, mask, None, deterministic).astype(jnp.float32)
        return x[:, : self.config.latents], x[:, self.config.latents : 2 * self.config.latents]

    def decode(
        self,
        latent: Float[Array, "batch latents width"],
        frames: Int[Array, "batch"],
        length: int,
        deterministic: bool = True,
    ) -> Float[Array, "batch length features"]:
        """Normalised features, zero beyond each clip's frames.

        Args:
          latent: one clip's latents a row.
          frames: how many frames each clip has.
          length: frames of the result.
          deterministic: no dropout.

        Raises:
          UserError: `length` is longer than the position table allows.
        """
        self._check(length, self.config.max_frames)
        queries = self._positions(self.decoder_positions, length)
        queries = jnp.broadcast_to(queries, (len(latent), *queries.shape))
        mask = jnp.arange(length) < frames[:, None]
        x = self.decoder(queries, mask, latent.astype(self.config.dtype), deterministic)
        return jnp.where(mask[..., None], self.final(x).astype(jnp.float32), 0.0)

    def _positions(self, table: Float[Array, "places width"], length: int) -> Float[Array, "length width"]:
        return self.constrain("positions", table.astype(self.config.dtype))[:length]

    def _check(self, length: int, most: int) -> None:
        if not 1 <= length <= most:
            raise UserError(f"a clip of {length} frames does not fit the motion VAE; use 1 to {most} frames")

    def __call__(
        self, features: Float[Array, "batch frames features"], frames: Int[Array, "batch"]
    ) -> Float[Array, "batch frames features"]:
        """A clip through the mean of its posterior and back."""
        mean, _ = self.encode(features, frames)
        return self.decode(mean, frames, features.shape[1])
