"""The parts of a MotionGPT3, made from its sizes."""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from motiongpt3_jax.diffusion import NoiseSchedule, linear_beta
from motiongpt3_jax.models import (
    Decoder,
    DecoderConfig,
    DiffusionHead,
    HeadConfig,
    MotionVae,
    Stream,
    VaeConfig,
    Vocabulary,
)
from motiongpt3_jax.models.constrain import Constrain
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3.config import MotionGPT3Config


@dataclass(frozen=True)
class Modules:
    """The model's Flax modules and its noise schedule.

    Attributes:
      config: the sizes.
      constrain: where a mesh may pin the sharding of an activation, by its name.
    """

    config: MotionGPT3Config
    constrain: Constrain | None = None

    def using(self, adapter: str | None) -> "Modules":
        """The same with a LoRA adapter in use, see `MotionGPT3Config.using`."""
        return replace(self, config=self.config.using(adapter))

    @property
    def pinned(self) -> dict[str, Constrain]:
        """The hook as modules take it."""
        return {"constrain": self.constrain} if self.constrain else {}

    @cached_property
    def vae(self) -> MotionVae:
        """Clips to latents and back."""
        return MotionVae(self.config.vae, **self.pinned)

    @cached_property
    def decoder(self) -> Decoder:
        """The two-stream Transformer."""
        return Decoder(self.config.decoder, **self.pinned)

    @cached_property
    def text(self) -> Vocabulary:
        """Text embeddings and text logits, of one table where they are tied."""
        config, decoder = self.config, self.config.decoder
        options = {"scale": decoder.embedding_scale, "cap": config.logit_cap, **self.pinned}
        width = decoder.streams[0].width
        return Vocabulary(config.vocabulary, config.new_ids, width, decoder.dtype, config.tied, **options)

    @cached_property
    def motion(self) -> Vocabulary:
        """Motion embeddings; their logits are never used."""
        config = self.config
        return Vocabulary(config.motion_ids, 0, config.decoder.streams[1].width, config.decoder.dtype)

    @cached_property
    def head(self) -> DiffusionHead:
        """Hidden states of the holders to the noise in a latent."""
        return DiffusionHead(self.config.head, **self.pinned)

    @cached_property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule."""
        return linear_beta(self.config.diffusion_steps, *self.config.betas)


@partial(jax.jit, static_argnames="config")
def init(config: MotionGPT3Config, rng: jax.Array) -> Variables:
    """Fresh variables (specification of the official initialisation: GPT-2 for the decoder, PyTorch's for the rest).

    Under `jit`, a process traces each config once, and each of its parts, for shapes and for numbers.
    """
    modules = Modules(config)
    keys = dict(
        zip(("vae", "decoder", "text", "motion", "motion_head", "understand", "head"), jax.random.split(rng, 7))
    )
    latents, channels = config.vae.latents, config.vae.width
    width = config.decoder.streams[1].width
    ids = jnp.zeros((1, 1), jnp.int32)
    bound = (latents * channels) ** -0.5
    params: dict[str, Any] = {
        "vae": _init_vae(config.vae, keys["vae"]),
        "decoder": _init_decoder(config.decoder, keys["decoder"]),
        "vocabulary": {
            "text": modules.text.init(keys["text"], ids, method="embed")["params"],
            "motion": _motion_table(modules.motion.init(keys["motion"], ids, method="embed")["params"], keys["motion"]),
        },
        "motion_head": {"kernel": 0.01 * jax.random.normal(keys["motion_head"], (width, config.motion_ids))},
        "understand": {
            name: jax.random.uniform(key, (*inputs, config.holders * width), minval=-bound, maxval=bound)
            for (name, inputs), key in zip(
                {"kernel": (latents * channels,), "bias": ()}.items(), jax.random.split(keys["understand"])
            )
        },
        "null_condition": jnp.zeros((config.holders, width)),
        "head": _init_head(config.head, (latents, channels), (config.holders, width), keys["head"]),
    }
    return Variables(params=params, state=latent_state(config))


@partial(jax.jit, static_argnames="config")
def _init_vae(config: VaeConfig, rng: jax.Array) -> dict[str, Any]:
    return MotionVae(config).init(rng, jnp.zeros((1, 1, config.features)), jnp.ones((1,), jnp.int32))["params"]


@partial(jax.jit, static_argnames="config")
def _init_decoder(config: DecoderConfig, rng: jax.Array) -> dict[str, Any]:
    return Decoder(config).init(rng, _probe(config))["params"]


@partial(jax.jit, static_argnames=("config", "latent", "condition"))
def _init_head(
    config: HeadConfig, latent: tuple[int, int], condition: tuple[int, int], rng: jax.Array
) -> dict[str, Any]:
    one = jnp.ones((1,), jnp.int32)
    return DiffusionHead(config).init(rng, jnp.zeros((1, *latent)), one, jnp.zeros((1, *condition)))["params"]


def latent_state(config: MotionGPT3Config) -> dict[str, Float[Array, "latents width"]]:
    """First and second moment of the VAE's latents: fixed by `latent_scale`, or about to be measured."""
    shape = (config.vae.latents, config.vae.width)
    square = 1.0 if config.latent_scale is None else config.latent_scale**-2
    return {"latent_mean": jnp.zeros(shape), "latent_square": jnp.full(shape, square, jnp.float32)}


def _motion_table(params: dict[str, Any], key: jax.Array) -> dict[str, Any]:
    """Unit normal rows, as PyTorch's Embedding has them, and a zero row for the pad id (row 1)."""
    table = jax.random.normal(key, params["table"].shape)
    return {**params, "table": table.at[1].set(0.0)}


def _probe(config: DecoderConfig) -> dict[str, Stream]:
    zeros = jnp.zeros((1, 1), jnp.int32)
    return {
        stream.name: Stream(jnp.zeros((1, 1, stream.width)), zeros, zeros + 1, zeros == 0) for stream in config.streams
    }
