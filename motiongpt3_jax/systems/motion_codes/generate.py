"""The phases of an answer: read clips, prefill, decode tokens, render codes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from motiongpt3_jax.batch import Batch, Places
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models import TextOptions
from motiongpt3_jax.models.generate_text import generate_text
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motion_codes.codes import codes_of_batch, codes_of_clips, filled
from motiongpt3_jax.systems.motion_codes.language import Prefix, Steps, logits_of
from motiongpt3_jax.systems.motion_codes.losses import decode_codes
from motiongpt3_jax.systems.motion_codes.modules import Modules
from motiongpt3_jax.systems.motion_codes.pair_grammar import PairGrammar
from motiongpt3_jax.systems.motion_codes.tokens import FRAMES_PER_CODE, MotionTokens, codes_of

OFFICIAL_TOP_K = 50
"""Codes that the official code draws from."""

MOST_SHOWN = 12
"""Codes whose motions a page of samples shows."""

REPEATS = 6
"""How often a code is repeated to show what it stands for: a little more than a second at 20 frames a second."""


@dataclass(frozen=True)
class MotionOptions:
    """How the codes of a motion are chosen.

    Attributes:
      temperature: divides the logits of drawn codes; 0 takes the best one.
      top_k: codes are drawn from this many best ones; 0 is no limit.
      top_p: codes are drawn from the fewest best ones whose chances reach this sum.
      beams: motions of each request that are followed at once, as in transformers, which needs a temperature of 0.
      whole_clips: encode a clip whole and cut its codes, as the official evaluation does: the codes of what is given
        have seen 88 frames of what is to be made.
    """

    temperature: float = 1.0
    top_k: int = OFFICIAL_TOP_K
    top_p: float = 1.0
    beams: int = 1
    whole_clips: bool = False

    def __post_init__(self) -> None:
        drawn = self.temperature > 0
        checks = (
            ("temperature", self.temperature == 0 or 1e-6 <= self.temperature < math.inf, "give 0, or 0.000001 and up"),
            (
                "top_k",
                isinstance(self.top_k, Integral) and self.top_k >= 0,
                "give 0 for no limit, or a number of codes",
            ),
            ("top_k", drawn or self.top_k == 0, "codes are drawn at a temperature above 0; set one"),
            ("top_p", 0 < self.top_p <= 1, "give a number above 0 and up to 1, which is no limit"),
            ("top_p", drawn or self.top_p == 1, "codes are drawn at a temperature above 0; set one"),
            ("beams", isinstance(self.beams, Integral) and self.beams >= 1, "follow at least 1"),
            ("beams", not drawn or self.beams == 1, "beams are not drawn; set temperature to 0"),
        )
        for name, holds, advice in checks:
            if not holds:
                raise UserError(f"{name} of a motion is {getattr(self, name)!r}: {advice}")


def code_options(tokens: MotionTokens, options: MotionOptions, most: int) -> TextOptions:
    """How ids of motions are decoded, counted from the first new one on: `most` codes and an end, at least one code."""
    first, end = tokens.words, tokens.end_of_motion
    return TextOptions(
        end=end - first,
        banned=tuple(i - first for i in range(first, tokens.size) if i != end and not tokens.is_code(i)),
        max_new=most,
        min_new=1,
        repetition_penalty=1.0,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        beams=options.beams,
        collect_finished=options.beams > 1,
    )


def read(modules: Modules, variables: Variables, batch: Batch) -> Mapping[str, Any]:
    """Codes of the clips that enter, and the batch without its clips."""
    return {"codes": codes_of_batch(modules, variables, batch), "batch": batch.replace(clips=())}


def prefill(
    modules: Modules,
    room: int,
    variables: Variables,
    batch: Batch,
    codes: Int[Array, "rows clips codes"] | None,
    places: Places | None = None,
) -> Mapping[str, Any]:
    """What is left of the questions for decode steps, with room for so many; `places` of questions that share rows."""
    ids = filled(batch.streams, codes, modules.config.first_code)
    slots = None if places is None else places.slots
    return {"prefix": modules.language.prefill(variables.params, batch.streams, ids, room, slots)}


def decode(
    modules: Modules,
    options: TextOptions,
    motion: bool,
    variables: Variables,
    prefix: Prefix,
    seeds: Int[Array, "rows"] | None,
    frames: Int[Array, "rows"] | None,
    rooms: Int[Array, "rows"] | None = None,
    grammar: PairGrammar | None = None,
) -> Mapping[str, Any]:
    """Ids that continue each prompt; those of a motion count from the first new id on.

    Args:
      modules: the model's parts.
      options: how ids are chosen.
      motion: whether only ids of motions follow.
      variables: the model's arrays.
      prefix: of the prompts.
      seeds: of the requests, for sampling alone.
      frames: how long each motion is to be; 0 and None leave that to the model.
      rooms: most ids of each row; None for those of the options in all.
      grammar: of two people, which are to have so many codes each; None for one.
    """
    language, params = modules.language, modules.language.unstacked(variables.params)
    first = modules.config.words if motion else 0

    def step(cache: Any, tokens: Array, positions: Array, index: Array, only: Any) -> tuple[Array, Any]:
        steps = Steps(tokens + first, positions, index, only)
        hidden, cache = language.decode_step(params, prefix.memory, cache, steps)
        return logits_of(language.vocabulary, params, hidden, new=motion), cache

    slots = prefix.cache[language.written].positions.shape[1]
    tokens = generate_text(
        logits_of(language.vocabulary, params, prefix.hidden, new=motion),
        prefix.cache,
        step,
        options,
        vocabulary=modules.config.new_ids if motion else modules.ids,
        positions=prefix.positions,
        index=slots - options.cache_slots,
        seeds=seeds,
        lengths=None if frames is None or grammar else codes_of(frames),
        rooms=rooms,
        grammar=(grammar, grammar.start(codes_of(frames))) if grammar else None,
    )
    return {"tokens": tokens}


def render(
    modules: Modules,
    end: int,
    variables: Variables,
    tokens: Int[Array, "rows tokens"],
    frames: Int[Array, "rows"],
) -> Mapping[str, Any]:
    """Normalised features of generated codes, up to each row's `end`; cut to as many frames as are asked for."""
    ended = jnp.cumsum(tokens == end, axis=1) > 0
    counts = (~ended).sum(axis=1)
    vectors = variables.state["codebook"]["table"][jnp.where(ended, 0, tokens - modules.config.codes_at)]
    features = decode_codes(modules, variables, vectors, counts)
    frames = jnp.where(frames > 0, jnp.minimum(frames, counts * FRAMES_PER_CODE), counts * FRAMES_PER_CODE)
    inside = jnp.arange(features.shape[1]) < frames[:, None]
    return {"features": jnp.where(inside[..., None], features, 0.0), "frames": frames}


def code_motions(modules: Modules, variables: Variables) -> dict[str, Float[Array, "frames features"]]:
    """What the codes in most use stand for: features of each, repeated `REPEATS` times."""
    codebook = variables.state["codebook"]
    chosen = jnp.argsort(codebook["counts"], descending=True)[:MOST_SHOWN]
    vectors = jnp.repeat(codebook["table"][chosen][:, None], REPEATS, axis=1)
    features = decode_codes(modules, variables, vectors, jnp.full(len(chosen), REPEATS))
    return {f"code {int(code)}": motion for code, motion in zip(chosen, features)}


def reconstruct(
    modules: Modules,
    variables: Variables,
    features: Float[Array, "clips frames features"],
    frames: Int[Array, "clips"],
) -> Float[Array, "clips frames features"]:
    """Clips to codes and back."""
    codes = codes_of_clips(modules, variables, features, frames)
    vectors = variables.state["codebook"]["table"][codes]
    return decode_codes(modules, variables, vectors, codes_of(frames))[:, : features.shape[1]]
