"""A chat model's answer as a plan: JSON parsed out of text, checked, and never executed."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.text.odd_text import odd_text
from motiongpt3_jax.text.split_request import Step

MOST_STEPS = 20
"""Motions of a plan."""

SHOWN = 80
"""Letters of an answer that an error shows of it."""

EXPECTED = '{"steps": [{"motion": "a person walks", "seconds": 2}]} or {"answer": "words"}'

OBJECT = re.compile(r'\{\s*["}]')
"""How a JSON object begins; each brace that does not is no attempt to read what follows it."""


@dataclass(frozen=True)
class Plan:
    """What a chat model wants.

    Attributes:
      steps: motions that follow each other; empty where it answers in words alone.
      answer: its words.
    """

    steps: tuple[Step, ...] = ()
    answer: str = ""


def read_plan(text: str) -> Plan:
    """The first JSON object of an answer that holds a plan; words and code fences around it do not matter.

    Steps are sentences, or objects with "motion" and, where a length is asked for, "seconds".

    Raises:
      UserError: there is none, or it is not as expected; says what is wrong.
    """
    if not isinstance(text, str):
        raise UserError(f"the chat model answers with a {type(text).__name__}; its function must return text")
    plan = next((value for value in _objects(text) if {"steps", "answer"} & value.keys()), None)
    if plan is None:
        _refuse(text, "it holds no JSON object with steps or an answer")
    answer, steps = plan.get("answer") or "", plan.get("steps") or ()
    if not isinstance(answer, str):
        _refuse(text, '"answer" is no text')
    if not isinstance(steps, list | tuple) or len(steps) > MOST_STEPS:
        _refuse(text, f'"steps" is no list of up to {MOST_STEPS} motions')
    return Plan(tuple(_step(text, number, step) for number, step in enumerate(steps)), answer)


def _step(text: str, number: int, step: Any) -> Step:
    step = {"motion": step} if isinstance(step, str) else step
    sentence = step.get("motion") if isinstance(step, dict) else None
    if not isinstance(sentence, str) or not sentence.strip():
        _refuse(text, f'step {number + 1} has no "motion", a sentence')
    odd = odd_text(sentence)
    if odd:
        _refuse(text, f"step {number + 1} holds {odd}")
    seconds = step.get("seconds")
    number_given = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is not None and not (number_given and 0 < seconds < math.inf):
        _refuse(text, f'"seconds" of step {number + 1} is no length above 0')
    return Step(" ".join(sentence.split()), None if seconds is None else float(seconds))


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text, in their order; not those within another."""
    decoder, begins = json.JSONDecoder(), OBJECT.search(text)
    while begins:
        try:
            value, end = decoder.raw_decode(text, begins.start())
            yield value
        except (ValueError, RecursionError):
            end = begins.start() + 1
        begins = OBJECT.search(text, end)


def _refuse(text: str, why: str) -> None:
    shown = " ".join(text.split())
    shown = f"{shown[:SHOWN]}..." if len(shown) > SHOWN else shown
    raise UserError(f"the chat model's answer is no plan: {why}; expected {EXPECTED}, and it is '{shown}'")
