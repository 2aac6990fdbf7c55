"""Motion captioning by a loaded model: sentences for clips, and for motions of any length part by part."""

from collections.abc import Sequence
from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.clips import Part, parts_of
from motiongpt3_jax.inference.engine import Engine
from motiongpt3_jax.inference.pairs import PairPart, caption_pairs, pair_parts
from motiongpt3_jax.inference.prompts import Prompts, sentence_of
from motiongpt3_jax.motion import Motion
from motiongpt3_jax.systems.interface import Features, Question


def caption_in_time(
    engine: Engine,
    prompts: Prompts,
    motions: Sequence[tuple[str, Motion]],
    seed: int,
    options: Any,
    style: str = "train",
) -> list[list[tuple[float, float, str]]]:
    """(beginning, end, sentence) of every part of each motion, in seconds; one part where the model reads it all.

    Args:
      engine: the model.
      prompts: how it is asked.
      motions: with their names in errors; of two people both are told of, where the model knows two.
      seed: of the first motion; the next has the next one.
      options: how text is decoded.
      style: how the model is asked.

    Raises:
      UserError: a motion has another skeleton than the model, or a single frame.
    """
    two = engine.answers.capabilities.persons > 1
    parts_by_motion = [
        (pair_parts if two and motion.persons > 1 else parts_of)(
            motion, engine.folder.statistics, engine.longest_read, what
        )
        for what, motion in motions
    ]
    parts = [(part, seed + number) for number, parts in enumerate(parts_by_motion) for part in parts]
    alone = [(part.features, own) for part, own in parts if isinstance(part, Part)]
    both = [(part.clip, own) for part, own in parts if isinstance(part, PairPart)]
    of_one = iter(caption_clips(engine, prompts, *_columns(alone), options, style))
    of_two = iter(caption_pairs(engine, prompts, *_columns(both), options, style) if both else ())
    return [
        [(part.start, part.stop, next(of_two if isinstance(part, PairPart) else of_one)) for part in parts]
        for parts in parts_by_motion
    ]


def caption_clips(
    engine: Engine,
    prompts: Prompts,
    clips: Sequence[Features],
    seeds: Sequence[int] | None,
    options: Any,
    style: str = "train",
) -> list[str]:
    """A sentence for each clip of raw features.

    Raises:
      UserError: a clip is longer than the model reads at once.
    """
    longest = engine.answers.capabilities.longest_read
    for clip in clips:
        if len(clip) > longest:
            raise UserError(f"a clip has {len(clip)} frames; this model reads up to {longest} at once")
    task = prompts.of_role("caption").name
    questions = [Question(prompts.question(task, style, frames=len(clip)), (clip,)) for clip in clips]
    return [sentence_of(text.words) for text in engine.generate_texts(questions, options, seeds)]


def _columns(pairs: Sequence[tuple[Any, int]]) -> tuple[list[Any], list[int]]:
    return [first for first, _ in pairs], [second for _, second in pairs]
