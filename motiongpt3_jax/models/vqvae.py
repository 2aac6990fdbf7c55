"""The motion VQ-VAE: a convolutional encoder and decoder around a codebook (MotionGPT, arXiv 2306.14795, section 3.1).

A clip of F frames becomes F / 4 vectors with the published two downsamplings, each of which `models.codebook` replaces
with its nearest code. Clips of any lengths share a batch: every convolution sees zeros beyond a clip's end, as it would
if the clip were alone, so batch mates and padding change nothing.
"""

from dataclasses import dataclass

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.constrain import Constrain, unconstrained
from motiongpt3_jax.models.conv import Conv, mask_frames


@dataclass(frozen=True)
class VqVaeConfig:
    """Sizes of the VQ-VAE.

    Attributes:
      features: width of a frame.
      width: of the hidden states.
      code_width: of a code.
      codes: rows of the codebook.
      downsamples: how often the encoder halves the frames.
      depth: residual blocks at each resolution.
      dilation_growth: a residual block's dilation over that of the next one; the last has 1.
      dtype: of the computation.
    """

    features: int
    width: int
    code_width: int
    codes: int
    downsamples: int
    depth: int
    dilation_growth: int
    dtype: str

    @property
    def frames_per_code(self) -> int:
        """Frames that one code stands for."""
        return 2**self.downsamples


class ResidualBlock(nn.Module):
    """A dilated convolution and a product, each after a ReLU, added to what came in."""

    config: VqVaeConfig
    dilation: int
    constrain: Constrain = unconstrained

    @nn.compact
    def __call__(
        self, x: Float[Array, "clips frames width"], frames: Int[Array, "clips"]
    ) -> Float[Array, "clips frames width"]:
        width, dtype = self.config.width, self.config.dtype
        h = Conv(width, 3, dtype, dilation=self.dilation, constrain=self.constrain, name="dilated")(nn.relu(x), frames)
        return x + Conv(width, 1, dtype, constrain=self.constrain, name="pointwise")(nn.relu(h), frames)


class ResidualStack(nn.Module):
    """Residual blocks of falling dilation, in the encoder as in the decoder."""

    config: VqVaeConfig
    constrain: Constrain = unconstrained

    @nn.compact
    def __call__(
        self, x: Float[Array, "clips frames width"], frames: Int[Array, "clips"]
    ) -> Float[Array, "clips frames width"]:
        for block in range(self.config.depth):
            dilation = self.config.dilation_growth ** (self.config.depth - 1 - block)
            x = ResidualBlock(self.config, dilation, self.constrain, name=f"block_{block}")(x, frames)
        return x


class Encoder(nn.Module):
    """Frames to vectors: a strided convolution and a residual stack for each downsampling."""

    config: VqVaeConfig
    constrain: Constrain = unconstrained

    @nn.compact
    def __call__(
        self, x: Float[Array, "clips frames features"], frames: Int[Array, "clips"]
    ) -> Float[Array, "clips places code_width"]:
        config = self.config
        x = nn.relu(Conv(config.width, 3, config.dtype, constrain=self.constrain, name="conv_in")(x, frames))
        for level in range(config.downsamples):
            x = Conv(config.width, 4, config.dtype, stride=2, constrain=self.constrain, name=f"down_{level}")(x, frames)
            frames = frames // 2
            x = ResidualStack(config, self.constrain, name=f"stack_{level}")(x, frames)
        return Conv(config.code_width, 3, config.dtype, constrain=self.constrain, name="conv_out")(x, frames)


class Decoder(nn.Module):
    """Vectors to frames: a residual stack, a repetition of every frame and a convolution for each upsampling."""

    config: VqVaeConfig
    constrain: Constrain = unconstrained

    @nn.compact
    def __call__(
        self, x: Float[Array, "clips places code_width"], places: Int[Array, "clips"]
    ) -> Float[Array, "clips frames features"]:
        config = self.config
        x = nn.relu(Conv(config.width, 3, config.dtype, constrain=self.constrain, name="conv_in")(x, places))
        for level in range(config.downsamples):
            x = ResidualStack(config, self.constrain, name=f"stack_{level}")(x, places)
            x, places = jnp.repeat(x, 2, axis=1), 2 * places
            x = Conv(config.width, 3, config.dtype, constrain=self.constrain, name=f"up_{level}")(x, places)
        x = nn.relu(Conv(config.width, 3, config.dtype, constrain=self.constrain, name="conv_mid")(x, places))
        return Conv(config.features, 3, config.dtype, constrain=self.constrain, name="conv_out")(x, places)


class VqVae(nn.Module):
    """Clips to vectors and back; what replaces vectors with codes is `models.codebook`.

    Attributes:
      config: sizes.
      constrain: where a mesh may pin activations.
    """

    config: VqVaeConfig
    constrain: Constrain = unconstrained

    def setup(self) -> None:
        self.encoder = Encoder(self.config, self.constrain)
        self.decoder = Decoder(self.config, self.constrain)

    def encode(
        self, features: Float[Array, "clips frames features"], frames: Int[Array, "clips"]
    ) -> Float[Array, "clips codes code_width"]:
        """One vector for every `frames_per_code` whole frames, zero beyond a clip's; surplus frames are dropped.

        Args:
          features: normalised features.
          frames: how many frames of each clip count.
        """
        if features.shape[1] < self.config.frames_per_code:
            raise UserError(
                f"clips of {features.shape[1]} frames do not fit the motion VQ-VAE; "
                f"a code stands for {self.config.frames_per_code}"
            )
        vectors = self.encoder(features, frames).astype(jnp.float32)
        return mask_frames(vectors, frames // self.config.frames_per_code)

    def decode(
        self, vectors: Float[Array, "clips codes code_width"], codes: Int[Array, "clips"]
    ) -> Float[Array, "clips frames features"]:
        """Normalised features, `frames_per_code` frames for every code, zero beyond a clip's.

        Args:
          vectors: one of the codebook for each code.
          codes: how many codes of each clip count.
        """
        features = self.decoder(vectors, codes).astype(jnp.float32)
        return mask_frames(features, codes * self.config.frames_per_code)

    def __call__(
        self, features: Float[Array, "clips frames features"], frames: Int[Array, "clips"]
    ) -> Float[Array, "clips frames features"]:
        """A clip to its vectors and back, without a codebook."""
        return self.decode(self.encode(features, frames), frames // self.config.frames_per_code)


def repeat_last_frame(
    features: Float[Array, "clips frames features"], frames: Int[Array, "clips"], multiple: int
) -> tuple[Float[Array, "clips longer features"], Int[Array, "clips"]]:
    """Clips padded with their last frame up to a multiple of frames, so that codes cover every one of their frames.

    Args:
      features: of clips of several lengths.
      frames: of each clip; 0 marks an empty place, which stays empty.
      multiple: `VqVaeConfig.frames_per_code`.

    Returns:
      Features and frames; beyond those, features are zero.
    """
    surplus = -features.shape[1] % multiple
    rounded = -(-frames // multiple) * multiple
    last = jnp.take_along_axis(features, jnp.maximum(frames - 1, 0)[:, None, None], axis=1)
    features = jnp.pad(features, ((0, 0), (0, surplus), (0, 0)))
    inside = (jnp.arange(features.shape[1]) < frames[:, None])[..., None]
    return mask_frames(jnp.where(inside, features, last), rounded), rounded
