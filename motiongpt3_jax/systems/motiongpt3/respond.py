"""Answers: a motion from the holders' hidden states, or text token by token."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.diffusion import SAMPLERS, guided
from motiongpt3_jax.models import Memory, Stream, reserve
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3.forward import conditions, encode_clips, from_language, streams, to_language
from motiongpt3_jax.systems.motiongpt3.modules import Modules

Tree = Any


@dataclass(frozen=True)
class MotionOptions:
    """How a motion is sampled.

    Attributes:
      sampler: "ancestral" (as official), "ddim", "dpm++", or "euler" for rectified flow.
      steps: denoising steps (official: 100).
      guidance_scale: 1 switches guidance off (official: 3.0 for the first stage, 7.5 in its demo).
      temperature: factor of the noise of an ancestral step.
      eta: share of fresh noise in a DDIM step; 0 has none, 1 as much as an ancestral step.
    """

    sampler: str = "dpm++"
    steps: int = 20
    guidance_scale: float = 3.0
    temperature: float = 1.0
    eta: float = 0.0


@dataclass(frozen=True)
class TextOptions:
    """How text is decoded.

    Attributes:
      end: id that ends a text.
      banned: ids that are never written.
      max_new: longest text, in tokens (official: 40).
      repetition_penalty: divides (or multiplies, when negative) the logits of ids written before (official: 1.1).
    """

    end: int
    banned: tuple[int, ...] = ()
    max_new: int = 40
    repetition_penalty: float = 1.1


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
    clip_noise: Float[Array, "rows clips latents width"] | None = None,
) -> Float[Array, "rows holders width"]:
    """Hidden states at the holders of every row's first output: what its motion is made from.

    Args:
      modules: the model's parts.
      variables: its arrays.
      batch: one request a row.
      clip_noise: standard normals of the input clips' posteriors; None takes the means.
    """
    latents = understand(modules, variables, batch, clip_noise)
    entering = streams(modules, variables.params, batch, latents)
    hidden = modules.decoder.apply({"params": variables.params["decoder"]}, entering)
    return conditions(hidden["motion"], batch.outputs[:, :1])[:, 0]


def sample_latents(
    modules: Modules,
    variables: Variables,
    condition: Float[Array, "rows holders width"],
    noise: Any,
    options: MotionOptions,
) -> Float[Array, "rows latents width"]:
    """One latent a row, on the VAE's scale.

    Args:
      modules: the model's parts.
      variables: its arrays.
      condition: see `read_conditions`.
      noise: one key a request, or recorded noise (start, one per step).
      options: how to sample.
    """
    shape = (len(condition), modules.config.vae.latents, modules.config.vae.width)
    eps = _denoiser(modules, variables.params, condition, options.guidance_scale)
    sampled = SAMPLERS[options.sampler](eps, modules.schedule, noise, shape, options)
    return from_language(variables.state, sampled)


def _denoiser(modules: Modules, params: Tree, condition: Float[Array, "rows holders width"], scale: float) -> Any:
    """The head as a function of (x, t), its pooled conditions computed once."""

    def head(*args: Array, method: str) -> Array:
        return modules.head.apply({"params": params["head"]}, *args, method=method)

    pooled = head(condition, method="pool")
    if scale == 1.0:
        return lambda x, t: head(x, pooled + head(t[:1], method="time"), method="denoise")
    # One row, which every request shares: its modulations are computed once a step.
    null = head(params["null_condition"][None], method="pool")

    def eps(x: Array, t: Array) -> Array:
        time = head(t[:1], method="time")
        return guided(head(x, pooled + time, method="denoise"), head(x, null + time, method="denoise"), scale)

    return eps


def decode_latents(
    modules: Modules,
    variables: Variables,
    latents: Float[Array, "rows latents width"],
    frames: Int[Array, "rows"],
    length: int,
) -> Float[Array, "rows length features"]:
    """Normalised features of each latent, `frames` of them, zero beyond."""
    return modules.vae.apply({"params": variables.params["vae"]}, latents, frames, length, method="decode")


def write_text(
    modules: Modules,
    variables: Variables,
    batch: Batch,
    options: TextOptions,
    clip_noise: Float[Array, "rows clips latents width"] | None = None,
) -> Int[Array, "rows tokens"]:
    """Greedy continuation of every row's prompt; `end` fills what lies behind a text's end.

    The prompt is read once; each new token goes to the next reserved slot of the text memory, with its row's own
    position. The loop stops when every row has ended.
    """
    params = variables.params
    latents = understand(modules, variables, batch, clip_noise)
    hidden, memory = modules.decoder.apply(
        {"params": params["decoder"]}, streams(modules, params, batch, latents), return_memory=True
    )
    slots = batch.streams["text"].ids.shape[1]
    memory = {**memory, "text": reserve(memory["text"], options.max_new)}
    last = (batch.streams["text"].segments > 0).sum(axis=1) - 1
    state = _Writing(
        step=jnp.zeros((), jnp.int32),
        hidden=jnp.take_along_axis(hidden["text"], last[:, None, None], axis=1)[:, 0],
        position=jnp.max(jnp.stack([_last_position(s) for s in batch.streams.values()]), axis=0) + 1,
        tokens=jnp.full((len(last), options.max_new), options.end, jnp.int32),
        seen=jnp.zeros((len(last), modules.config.vocabulary + modules.config.new_ids), bool),
        done=jnp.zeros(len(last), bool),
        memory=memory,
    )

    def more(state: _Writing) -> Array:
        return (state.step < options.max_new) & ~state.done.all()

    return jax.lax.while_loop(more, lambda s: _write_one(modules, params, options, slots, s), state).tokens


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Writing:
    """What one step of writing hands to the next."""

    step: Int[Array, ""]
    hidden: Float[Array, "rows width"]
    position: Int[Array, "rows"]
    tokens: Int[Array, "rows tokens"]
    seen: Bool[Array, "rows vocabulary"]
    done: Bool[Array, "rows"]
    memory: dict[str, Memory]


def _write_one(modules: Modules, params: Tree, options: TextOptions, slots: int, state: _Writing) -> _Writing:
    text = {"params": params["vocabulary"]["text"]}
    scores = next_scores(modules.text.apply(text, state.hidden, method="logits"), state.seen, options)
    token = jnp.where(state.done, options.end, jnp.argmax(scores, axis=-1))
    rows = jnp.arange(len(token))
    query = Stream(
        embeddings=modules.text.apply(text, token[:, None], method="embed"),
        positions=state.position[:, None],
        segments=jnp.ones_like(token)[:, None],
        attended=jnp.ones_like(token, bool)[:, None],
    )
    hidden, memory = modules.decoder.apply(
        {"params": params["decoder"]}, {"text": query}, memory=state.memory, write_at=slots + state.step
    )
    return _Writing(
        step=state.step + 1,
        hidden=hidden["text"][:, 0],
        position=state.position + 1,
        tokens=state.tokens.at[:, state.step].set(token),
        seen=state.seen.at[rows, token].set(True),
        done=state.done | (token == options.end),
        memory=memory,
    )


def next_scores(
    logits: Float[Array, "rows padded"], seen: Bool[Array, "rows vocabulary"], options: TextOptions
) -> Float[Array, "rows vocabulary"]:
    """Logits of the next token after the repetition penalty, banned ids at -inf."""
    logits = logits[:, : seen.shape[1]].astype(jnp.float32)
    penalised = jnp.where(logits < 0, logits * options.repetition_penalty, logits / options.repetition_penalty)
    scores = jnp.where(seen, penalised, logits)
    return scores.at[:, jnp.array(options.banned, jnp.int32)].set(-jnp.inf) if options.banned else scores


def _last_position(slots: Any) -> Int[Array, "rows"]:
    return jnp.where(slots.segments > 0, slots.positions, -1).max(axis=1, initial=-1)


def keys_for(seeds: Int[Array, "rows"]) -> Key[Array, "rows"]:
    """One key a request, from its own seed alone."""
    return jax.vmap(jax.random.key)(seeds)
