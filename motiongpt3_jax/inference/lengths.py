"""Length prediction: how many frames a motion has, as asked for, as the model answers, or drawn as in training."""

import math
import re
from collections.abc import Sequence
from numbers import Integral
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.engine import Engine, check_seeds
from motiongpt3_jax.inference.prompts import Prompts
from motiongpt3_jax.systems.interface import Capabilities, Question

NUMBER = re.compile(r"\d+(?:\.\d+)?")

ANSWERS = 7
"""How often a model is asked how long a sentence takes."""


LONGEST_SECONDS = 60.0
"""The longest motion that can be asked for; what is longer than the model makes at once comes in windows."""


class Length(NamedTuple):
    """How long a motion is to be.

    Attributes:
      frames: at the model's frame rate.
      source: who said so: the caller, the model's answer to "how long does this take", a draw: from the lengths of the
        training clips, or where they are not known between those that the config names; or the model, which ended the
        motion itself; or a given motion that it goes with.
    """

    frames: int
    source: Literal["asked", "sentence", "training", "config", "model", "given"]


def check_length_choosable(capabilities: Capabilities, what: str) -> None:
    """Raises UserError when a length is asked for of a model that ends its motions itself.

    Args:
      capabilities: of the model.
      what: the length in words, as the error begins.
    """
    if not capabilities.takes_length:
        raise UserError(f"{what} asked for, and this model ends its motions itself: leave the length out")


def predict_lengths(engine: Engine, prompts: Prompts, sentences: Sequence[str], seeds: Sequence[int]) -> list[Length]:
    """A length for each sentence: as the model answers, where it was trained to; else drawn by the seed.

    A single best answer would name the commonest length of all; the middle of several drawn ones belongs to the
    sentence.
    """
    check_seeds(seeds)
    known = engine.folder.statistics.lengths
    lengths = [Length(_draw_length(engine, seed), "training" if len(known) else "config") for seed in seeds]
    length_questions = [(i, prompts.length_question(sentence)) for i, sentence in enumerate(sentences) if sentence]
    length_questions = [(i, question) for i, question in length_questions if question]
    if not length_questions:
        return lengths
    options = engine.answers.text_options(max_new=16, temperature=1.0, repetition_penalty=1.0)
    questions = [Question(question) for _, (question, _) in length_questions for _ in range(ANSWERS)]
    keys = [seeds[i] * ANSWERS + n for i, _ in length_questions for n in range(ANSWERS)]
    answers = engine.generate_texts(questions, options, [key % 2**31 for key in keys])
    fps = engine.folder.statistics.fps
    shortest, longest = _training_lengths(engine)[[0, -1]]
    for number, (i, (_, unit)) in enumerate(length_questions):
        matches = [NUMBER.search(text.words) for text in answers[number * ANSWERS : (number + 1) * ANSWERS]]
        values = (float(match[0]) * (fps if unit == "seconds" else 1) for match in matches if match)
        # What no clip of the training lasted is a slip of the pen; whole seconds are told rounded down.
        numbers = sorted(frames for frames in values if shortest - fps < frames <= longest + fps)
        if numbers:
            frames = round(min(max(numbers[len(numbers) // 2], shortest), longest))
            lengths[i] = Length(frames, "sentence")
    return lengths


def count_frames(fps: float, seconds: float | None, frames: int | None, most: float = LONGEST_SECONDS) -> int:
    """Frames of a motion that is asked for in seconds or in frames, `most` seconds long.

    Raises:
      UserError: both or neither are given, or it is no length, or too long.
    """
    if (seconds is None) == (frames is None):
        raise UserError("say how long the motion is to be, either in seconds or in frames")
    if not math.isfinite(seconds or 0) or not isinstance(frames or 0, Integral):
        raise UserError(f"{seconds if frames is None else frames} is no length; give seconds, or whole frames")
    if most <= 0:
        total = LONGEST_SECONDS - most
        raise UserError(f"what is given lasts {total:.1f} s, and results last {LONGEST_SECONDS:g} s at most")
    count = frames if frames is not None else round(seconds * fps)
    if count > most * fps:
        raise UserError(f"{count / fps:.1f} s were asked for; here it is {most:.1f} s at most")
    return count


def _draw_length(engine: Engine, seed: int) -> int:
    lengths = _training_lengths(engine)
    place = np.random.default_rng(seed).uniform(0, len(lengths) - 1)
    return round(float(np.interp(place, np.arange(len(lengths)), lengths)))


def _training_lengths(engine: Engine) -> Float[np.ndarray, "quantiles"]:
    """Lengths that the model was trained on, rising, as far as it can make them."""
    lengths, data = engine.folder.statistics.lengths, engine.folder.config["data"]
    if not len(lengths):
        lengths = np.array([data["min_frames"], data["max_frames"]])
    return np.clip(lengths, *engine.frames)
