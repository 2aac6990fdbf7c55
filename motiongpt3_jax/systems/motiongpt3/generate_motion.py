"""MotionGPT3's motion sampling: hidden states of the holders, a denoised latent, the VAE's decoder."""

import math
from dataclasses import dataclass
from functools import partial
from numbers import Integral

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from motiongpt3_jax.batch import Batch, Places
from motiongpt3_jax.diffusion import SAMPLERS, Denoiser, Noise, classifier_free_guidance
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models import denoise_step, modulate_steps, prefill, unstack_blocks
from motiongpt3_jax.systems.interface import Tree, Variables
from motiongpt3_jax.systems.motiongpt3.forward import conditions, encode_clips, from_language, streams, to_language
from motiongpt3_jax.systems.motiongpt3.modules import Modules


@dataclass(frozen=True)
class MotionOptions:
    """How a motion is sampled.

    Attributes:
      sampler: "ancestral" (as official), "ddim", "dpm++", or "euler" for rectified flow.
      steps: denoising steps (official: 100).
      guidance_scale: 1 switches guidance off (official: 3.0 for the first stage, 7.5 in its demo).
      temperature: factor of the noise of an ancestral step.
      eta: share of fresh noise in a DDIM step; 0 has none, 1 as much as an ancestral step.
      sample_clips: draw the latents of the motions that are given, as officially, instead of taking their means.
    """

    sampler: str = "dpm++"
    steps: int = 20
    guidance_scale: float = 3.0
    temperature: float = 1.0
    eta: float = 0.0
    sample_clips: bool = False

    def __post_init__(self) -> None:
        checks = (
            ("sampler", self.sampler in SAMPLERS, f"choose {', '.join(SAMPLERS)}"),
            ("steps", isinstance(self.steps, Integral) and self.steps >= 1, "take a whole number, at least 1"),
            ("guidance_scale", 0 <= self.guidance_scale <= 1000, "give 0 to 1000; 1 is none"),
            ("temperature", 0 <= self.temperature < math.inf, "give 0 or a number above it"),
            ("eta", 0 <= self.eta <= 1, "give a share from 0 to 1"),
            ("eta", self.eta == 0 or self.sampler == "ddim", "only ddim has it; take that sampler, or 0"),
        )
        for name, holds, advice in checks:
            if not holds:
                raise UserError(f"{name} of a motion is {getattr(self, name)!r}: {advice}")


def understand(
    modules: Modules, variables: Variables, batch: Batch, noise: Float[Array, "rows clips latents width"] | None
) -> Float[Array, "rows clips latents width"] | None:
    """The input clips' latents on the language model's scale: sampled with `noise`, or their means."""
    if not batch.clips:
        return None
    mean, log_variance = encode_clips(modules, variables.params, batch)
    if noise is not None:
        mean = mean + jnp.exp(0.5 * log_variance) * noise
    return to_language(variables.state, mean)


def read_conditions(
    modules: Modules,
    variables: Variables,
    batch: Batch,
    latents: Float[Array, "rows clips latents width"] | None = None,
    places: Places | None = None,
) -> Float[Array, "requests holders width"]:
    """Hidden states at the holders of every request's only output: what its motion is made from.

    Args:
      modules: the model's parts.
      variables: its arrays.
      batch: the requests.
      latents: of the input clips, see `understand`; None where none enters.
      places: of requests that share rows; None where each has its row.
    """
    entering = streams(modules, variables.params, batch, latents)
    hidden, _ = prefill(modules.decoder, variables.params["decoder"], entering)
    outputs = batch.extra["outputs"]
    if places is None:
        return conditions(hidden["motion"], outputs[:, :1])[:, 0]
    found = conditions(hidden["motion"], outputs[:, : batch.samples.shape[1]])
    return found.reshape(-1, *found.shape[2:])[places.samples]


def sample_latents(
    modules: Modules,
    variables: Variables,
    condition: Float[Array, "rows holders width"],
    noise: Noise,
    options: MotionOptions,
) -> Float[Array, "rows latents width"]:
    """One latent a row, on the VAE's scale.

    Args:
      modules: the model's parts.
      variables: its arrays.
      condition: see `read_conditions`.
      noise: one key a request, or recorded noise (start, one per step).
      options: how to sample.

    Raises:
      UserError: the sampler is one for the other kind of model: diffusion, or rectified flow.
    """
    if (options.sampler == "euler") != modules.config.flow:
        kind = "a rectified flow" if modules.config.flow else "diffusion"
        raise UserError(f"sampler {options.sampler!r} does not fit this model, which was trained as {kind}")
    shape = (len(condition), modules.config.vae.latents, modules.config.vae.width)
    denoiser = _denoiser(modules, variables.params, condition, options.guidance_scale)
    sampled = SAMPLERS[options.sampler](denoiser, modules.schedule, noise, shape, options)
    return from_language(variables.state, sampled)


def _denoiser(modules: Modules, params: Tree, condition: Float[Array, "rows holders width"], scale: float) -> Denoiser:
    """The head, its pooled conditions computed once."""
    weights = unstack_blocks(params["head"])
    outside_blocks = {"params": {name: value for name, value in weights.items() if name != "blocks"}}
    head = partial(modules.head.apply, outside_blocks)

    pooled, condition_index = head(condition, method="pool"), None
    if scale != 1.0:
        # Both guesses in one call, which reads the head's weights once; the null condition is one row, shared by all.
        rows = jnp.arange(len(pooled))
        pooled = jnp.concatenate([pooled, head(params["null_condition"][None], method="pool")])
        condition_index = jnp.concatenate([rows, jnp.full_like(rows, len(rows))])

    def modulations(t: Float[Array, "steps"]) -> Tree:
        return modulate_steps(modules.head, weights, pooled + head(t, method="time")[:, None])

    def eps(x: Array, modulation: Tree) -> Array:
        if condition_index is None:
            return denoise_step(modules.head, weights, x, modulation)
        both = denoise_step(modules.head, weights, jnp.concatenate([x, x]), modulation, condition_index)
        return classifier_free_guidance(*jnp.split(both, 2), scale)

    return Denoiser(modulations, eps)


def decode_latents(
    modules: Modules,
    variables: Variables,
    latents: Float[Array, "rows latents width"],
    frames: Int[Array, "rows"],
    length: int,
) -> Float[Array, "rows length features"]:
    """Normalised features of each latent, `frames` of them, zero beyond."""
    return modules.vae.apply({"params": variables.params["vae"]}, latents, frames, length, method="decode")


def keys_for(seeds: Int[Array, "rows"]) -> Key[Array, "rows"]:
    """One key a request, from its own seed alone."""
    return jax.vmap(jax.random.key)(seeds)
