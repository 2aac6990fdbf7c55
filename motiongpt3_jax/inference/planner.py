"""LLM agent: a chat model plans a long request as atomic motions, and is shown captions of what was made of them.

The chat model is any function from messages to text; none is shipped. Without one, rules split the request.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.chat import PLACE, Reply, check_places
from motiongpt3_jax.inference.engine import check_seeds
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.inference.notes import note_words
from motiongpt3_jax.inference.plan_answer import MOST_STEPS, read_plan
from motiongpt3_jax.inference.sequences import SequenceOfMotions, generate_sequence
from motiongpt3_jax.motion import Motion
from motiongpt3_jax.systems.interface import Question
from motiongpt3_jax.text.split_request import Step, split_request
from motiongpt3_jax.text.tasks import of_role

ChatModel = Callable[[Sequence[Mapping[str, str]]], str]
"""Messages, {"role": "system", "user" or "assistant", "content": text} each, to the text of the next one."""

INSTRUCTIONS = """\
You direct a model that turns short sentences into human motion. It knows one movement at a time.
Answer with JSON alone, in one of two forms:
{"steps": [{"motion": "a person walks forward", "seconds": 3}, {"motion": "a person sits down", "seconds": null}]}
  makes one motion of these movements, one after the other. Each sentence is a plain third person English description of
  one movement of the whole body that lasts 1 to 10 seconds. "seconds" is null unless a length was asked for.
  Break what is abstract (a feeling, a story, a sport) down into movements that can be seen.
{"answer": "words"}
  answers in words: a question about motions, or your closing words.
After every motion you are told how the model describes what it made. If it is not what you wanted, answer with better
steps; if it is, answer in words."""


@dataclass
class Planner:
    """A conversation in which long requests are planned.

    Attributes:
      model: makes the motions, and describes them.
      chat: the chat model that plans; None splits requests by rules, see `text.split_request`.
      revisions: how often a chat model may plan anew after it was told what its plan became.
      messages: what the chat model has been told and has answered.
    """

    model: Model
    chat: ChatModel | None = None
    revisions: int = 1
    messages: list[dict[str, str]] = field(default_factory=lambda: [_message("system", INSTRUCTIONS)])

    def __post_init__(self) -> None:
        if self.revisions < 0:
            raise UserError(f"revisions is {self.revisions}: let a plan be changed 0 or more times")

    def say(
        self,
        request: str,
        motions: Motion | str | Path | Sequence[Motion | str | Path] = (),
        *,
        seconds: float | None = None,
        seed: int = 0,
        decoding: Mapping[str, Any] | None = None,
        **sampling: Any,
    ) -> Reply:
        """The motion that a request is planned as, and what the chat model says.

        Args:
          request: what is wanted; `<motion>` stands for a given motion, as in `Chat.say`.
          motions: given ones, which the chat model knows by their captions.
          seconds: of every step that has no length of its own; None lets the model say.
          seed: decides the motion.
          decoding: of captions, see `Model.text_options`.
          **sampling: see `Model.motion_options`.

        Raises:
          UserError: the request is empty, the chat model's answer is no plan, or a step is too long.
        """
        check_seeds([seed])
        motions = [motions] if isinstance(motions, Motion | str | Path) else list(motions)
        self.model.motion_options(**sampling)  # what is wrong with them is said before anything is made
        decoding = dict(decoding or {})
        if self.chat is None:
            if motions or PLACE in request:
                raise UserError("rules split requests alone; give a chat model to speak about a motion")
            return self._reply(split_request(request), "", seconds, seed, sampling)[0]
        told = check_places(request, len(motions))
        for caption in self.model.caption(motions, **decoding) if motions else ():
            told = told.replace(PLACE, f"(a motion: {caption})", 1)
        talk, reply = [*self.messages, _message("user", told)], Reply("")
        for attempt in range(self.revisions + 2):
            answer = self.chat(list(talk))
            plan = read_plan(answer)
            talk.append(_message("assistant", answer))
            if not plan.steps or attempt > self.revisions:
                break
            reply, sequence = self._reply(plan.steps, plan.answer, seconds, seed, sampling)
            if not of_role(self.model.prompts.tasks, "caption"):
                break
            talk.append(_message("user", self._describe(reply.motions[0], sequence.stops, decoding)))
        self.messages = talk
        return Reply(plan.answer or reply.text, reply.motions, reply.lengths, reply.steps)

    def _reply(
        self,
        steps: Sequence[Step],
        answer: str,
        seconds: float | None,
        seed: int,
        sampling: Mapping[str, Any],
    ) -> tuple[Reply, SequenceOfMotions]:
        """One motion of some steps."""
        if len(steps) > MOST_STEPS:
            raise UserError(f"the request has {len(steps)} motions; ask for up to {MOST_STEPS} at once")
        model = self.model
        sentences = [step.sentence for step in steps]
        lengths = model.lengths(sentences, seconds, seed)
        for number, step in enumerate(steps):
            if step.seconds is not None:
                lengths[number] = model.lengths(step.sentence, step.seconds)[0]
        note_words(model.engine.folder, sentences)
        frames = [length.frames for length in lengths]
        questions = [
            Question(model.prompts.motion_question(model.written(sentence), "train", seed, count))
            for sentence, count in zip(sentences, frames)
        ]
        sequence = generate_sequence(model.engine, questions, frames, seed, model.motion_options(**sampling))
        motion = Motion(np.asarray(sequence.joints, np.float32)[None], model.fps, model.skeleton)
        return Reply(answer, (motion,), tuple(lengths), tuple(sentences)), sequence

    def _describe(self, motion: Motion, stops: Sequence[int], decoding: Mapping[str, Any]) -> str:
        """What a chat model is told of a motion: a caption of every part, where it is long enough to be read."""
        starts = [0, *stops[:-1]]
        parts = [
            (start, stop, Motion(motion.joints[:, start:stop], motion.fps, motion.skeleton))
            for start, stop in zip(starts, stops)
            if stop - start > 1
        ]
        captions = self.model.caption([part for *_, part in parts], **decoding)
        lines = [
            f"{start / motion.fps:.1f} to {stop / motion.fps:.1f} s: {caption}"
            for (start, stop, _), caption in zip(parts, captions)
        ]
        return "\n".join(["This was made, as the model describes it:", *lines])


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
