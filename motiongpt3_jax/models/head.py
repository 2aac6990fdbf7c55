"""The diffusion head: a small residual MLP that reads the holders' hidden states (MotionGPT3, section 3.3; MAR)."""

from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from motiongpt3_jax.models.attention import PostNormLayer
from motiongpt3_jax.models.constrain import Constrain, unconstrained
from motiongpt3_jax.models.dense import Product, flat_product, kernel_first_product, linear

EPS = 1e-6


@dataclass(frozen=True)
class HeadConfig:
    """Sizes of the head.

    Attributes:
      latent: width of a latent.
      condition: width of a holder's hidden state.
      width: of the MLP.
      depth: residual blocks.
      heads, pool_mlp: of the layer that pools the holders.
      time: width of the sinusoidal time embedding.
      dropout: in the pool.
      dtype: of the computation.
      max_positions: rows of the pool's position table.
      kernel_first: whether kernels lie transposed in memory, as denoising steps read them; never changes parameters.
    """

    latent: int
    condition: int
    width: int
    depth: int
    heads: int
    pool_mlp: int
    time: int
    dropout: float
    dtype: str
    max_positions: int = 500
    kernel_first: bool = False

    @property
    def product(self) -> Product:
        """Multiplies inputs with the kernel of a dense layer."""
        return kernel_first_product if self.kernel_first else flat_product


class ResidualBlock(nn.Module):
    """An MLP with adaptive layer norm; shaped for a scan over blocks."""

    config: HeadConfig
    constrain: Constrain = unconstrained

    def setup(self) -> None:
        config, width = self.config, self.config.width
        layer = partial(linear, dtype=config.dtype, constrain=self.constrain, product=config.product)
        self.modulation = layer(3 * width, width)
        self.norm = nn.LayerNorm(epsilon=EPS, dtype=jnp.float32)
        self.mlp_in = layer(width, width)
        self.mlp_out = layer(width, width)

    def __call__(
        self,
        x: Float[Array, "batch tokens width"],
        y: Float[Array, "conditions 1 width"],
        condition_index: Int[Array, "batch"] | None = None,
    ) -> tuple[Array, None]:
        return self.update(x, of_rows(self.modulate(y), condition_index)), None

    def modulate(self, y: Float[Array, "*rows width"]) -> Float[Array, "*rows modulation"]:
        """Shift, scale and gate of each condition, beside each other."""
        return self.modulation(nn.silu(y))

    def update(
        self, x: Float[Array, "batch tokens width"], modulation: Float[Array, "batch 1 modulation"]
    ) -> Float[Array, "batch tokens width"]:
        """The block's result for rows whose modulation is known."""
        shift, scale, gate = jnp.split(modulation, 3, axis=-1)
        h = self.norm(x).astype(self.config.dtype) * (1 + scale) + shift
        return x + gate * self.mlp_out(nn.silu(self.mlp_in(h)))


def of_rows(x: Float[Array, "conditions ..."], index: Int[Array, "batch"] | None) -> Float[Array, "batch ..."]:
    """Rows of a table by index; the table itself where each row has its own."""
    return x if index is None else jnp.take(x, index, axis=0)


class Pool(nn.Module):
    """Several hidden states to one vector, through a learned token that attends to them."""

    config: HeadConfig
    constrain: Constrain = unconstrained

    @nn.compact
    def __call__(self, c: Float[Array, "batch holders condition"], deterministic: bool) -> Float[Array, "batch width"]:
        config = self.config
        token = self.param("token", nn.initializers.normal(1.0), (1, config.condition))
        positions = self.param("positions", nn.initializers.uniform(1.0), (config.max_positions, config.condition))
        tokens = jnp.broadcast_to(token, (len(c), 1, config.condition))
        x = jnp.concatenate([tokens.astype(config.dtype), c.astype(config.dtype)], axis=1)
        x = x + self.constrain("positions", positions.astype(config.dtype))[: x.shape[1]]
        sizes = (config.condition, config.heads, config.pool_mlp)
        layer = PostNormLayer(*sizes, config.dropout, False, config.dtype, self.constrain, name="layer")
        x = layer(x, deterministic=deterministic)
        return linear(config.width, config.condition, config.dtype, "project", constrain=self.constrain)(x[:, 0])


class DiffusionHead(nn.Module):
    """Predicts the noise (or the flow) in a latent.

    Attributes:
      config: sizes.
      constrain: where a mesh may pin activations.
    """

    config: HeadConfig
    constrain: Constrain = unconstrained

    def setup(self) -> None:
        config, constrain = self.config, self.constrain
        layer = partial(linear, dtype=config.dtype, constrain=constrain, product=config.product)
        self.pooling = Pool(config, constrain)
        self.time_in = layer(config.width, config.time)
        self.time_out = layer(config.width, config.width)
        self.input = layer(config.width, config.latent)
        blocks = nn.scan(
            ResidualBlock,
            variable_axes={"params": 0, "intermediates": 0},
            split_rngs={"params": True},
            in_axes=(nn.broadcast, nn.broadcast),
            length=config.depth,
        )
        self.blocks = blocks(config, constrain)
        self.final_modulation = layer(2 * config.width, config.width)
        self.final_norm = nn.LayerNorm(epsilon=EPS, use_bias=False, use_scale=False, dtype=jnp.float32)
        self.final = layer(config.latent, config.width)

    def pool(
        self, c: Float[Array, "batch holders condition"], deterministic: bool = True
    ) -> Float[Array, "batch width"]:
        """The holders' hidden states as one vector."""
        return self.pooling(c, deterministic)

    def time(self, t: Float[Array, "batch"]) -> Float[Array, "batch width"]:
        """The noise level (step 0 to 999, or flow time 0 to 1) as a vector."""
        half = self.config.time // 2
        frequencies = jnp.asarray(np.exp(-np.log(10_000.0) * np.arange(half) / half), jnp.float32)
        angles = t.astype(jnp.float32)[:, None] * frequencies
        wave = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)
        return self.time_out(nn.silu(self.time_in(wave)))

    def denoise(
        self,
        x: Float[Array, "batch tokens latent"],
        y: Float[Array, "conditions width"],
        condition_index: Int[Array, "batch"] | None = None,
    ) -> Float[Array, "batch tokens latent"]:
        """The noise in `x`, given sums `y` of pooled condition and time: one for each row, or by index."""
        y = y[:, None]
        x, _ = self.blocks(self.enter(x), y, condition_index)
        return self.leave(x, of_rows(self.modulate_last(y), condition_index))

    def enter(self, x: Float[Array, "batch tokens latent"]) -> Float[Array, "batch tokens width"]:
        """What the first block reads."""
        return self.input(x)

    def modulate_last(self, y: Float[Array, "*rows width"]) -> Float[Array, "*rows modulation"]:
        """Shift and scale behind the last block of each condition, beside each other."""
        return self.final_modulation(nn.silu(y))

    def leave(
        self, x: Float[Array, "batch tokens width"], modulation: Float[Array, "batch 1 modulation"]
    ) -> Float[Array, "batch tokens latent"]:
        """The noise, from what the last block leaves."""
        shift, scale = jnp.split(modulation, 2, axis=-1)
        return self.final(self.final_norm(x) * (1 + scale) + shift).astype(jnp.float32)

    def __call__(
        self,
        x: Float[Array, "batch tokens latent"],
        t: Float[Array, "batch"],
        c: Float[Array, "batch holders condition"],
        deterministic: bool = True,
    ) -> Float[Array, "batch tokens latent"]:
        """The noise in `x` at noise level `t` under condition `c`."""
        return self.denoise(x, self.time(t) + self.pool(c, deterministic))
