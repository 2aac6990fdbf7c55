"""Free instructions, one or several turns: the model itself decides whether it answers in words, in motion or in both.

After the instruction the text branch writes on. Where it begins a motion, the holders follow, their hidden states
become a motion, and the text goes on behind it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Unpack

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.clips import called, features_of, require_readable
from motiongpt3_jax.inference.continuation import seed_of
from motiongpt3_jax.inference.engine import Features, Question, check_seeds
from motiongpt3_jax.inference.lengths import Length
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.inference.notes import note_task, note_words
from motiongpt3_jax.inference.options import Decoding, Sampling
from motiongpt3_jax.motion import Motion
from motiongpt3_jax.motion.resample import resample_motion
from motiongpt3_jax.text import MOTION_INPUT, MOTION_OUTPUT, check_words, compose, text_prompt

PLACE = "<motion>"
"""Where a motion stands in an instruction."""

MOST_MOTIONS = 3
"""Motions in one answer."""


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
      text: its words; empty when there are none.
      motions: its motions, in their order.
      lengths: who said how long each motion is to be.
    """

    text: str
    motions: tuple[Motion, ...] = ()
    lengths: tuple[Length, ...] = ()


@dataclass
class Chat:
    """A conversation.

    Attributes:
      model: who answers.
      memory: how many earlier turns the model is shown with each instruction. Training shows single turns, so a model
        that was not trained on several answers best with 0.
      turns: what was said: texts with holders, and the clips that fill them.
    """

    model: Model
    memory: int = 0
    turns: list[tuple[str, tuple[Features, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.memory < 0:
            raise UserError(f"memory is {self.memory}: show 0 or more earlier turns")

    def say(
        self,
        instruction: str,
        motions: Motion | str | Path | Sequence[Motion | str | Path] = (),
        *,
        seconds: float | None = None,
        seed: int = 0,
        decoding: Decoding | None = None,
        **sampling: Unpack[Sampling],
    ) -> Reply:
        """The answer to an instruction.

        Warns with a `Note` where the model was not trained to chat, and of words that it never saw.

        Args:
          instruction: any sentence; `<motion>` stands for the motions, in order. Where it stands nowhere, they follow
            the sentence.
          motions: what the instruction is about, motions or motion files; of each the first person.
          seconds: length of a motion in the answer; None lets the model say, see `Model.lengths`.
          seed: decides drawn words and motions.
          decoding: fields of `TextOptions`.
          **sampling: fields of `MotionOptions`.

        Raises:
          UserError: places and motions do not go together, or a motion or the conversation is too long.
        """
        check_seeds([seed])
        check_length(self.model, seconds)
        motions = [motions] if isinstance(motions, Motion | str | Path) else motions
        question, clips = self._question(instruction, motions)
        options = self.model.motion_options(**sampling)
        tokenizer = self.model.engine.folder.tokenizer
        writing = {"banned": (tokenizer.end_of_motion,), "stops": (tokenizer.start_of_motion,), **(decoding or {})}
        note_task(self.model.prompts.chats, "chat")
        note_words(self.model.engine.folder, [instruction.replace(PLACE, " ")])
        before, shown = self._history()
        text, parts, made, lengths = text_prompt(question), [], [], []
        while True:
            if len(made) == MOST_MOTIONS:
                writing |= {"banned": (tokenizer.start_of_motion, tokenizer.end_of_motion), "stops": ()}
            ids = self.model.engine.write(
                [Question(before + text, (*shown, *clips))],
                self.model.text_options(**writing),
                [seed_of(seed, len(made), 1)] if writing.get("temperature") else None,
            )[0]
            moving = bool(ids) and ids[-1] == tokenizer.start_of_motion
            words = ids[:-1] if moving else ids
            parts.append(self.model.sentence(words))
            text += tokenizer.decode(words, skip_special=False)
            if not moving:
                break
            length = self.model.lengths([instruction.split(PLACE)[0]], seconds, seed)[0]
            text += MOTION_OUTPUT
            made += self.model.engine.move(
                [Question(before + text, (*shown, *clips))], [length.frames], [seed_of(seed, len(made))], options
            )
            lengths.append(length)
        found = tuple(Motion(joints[None], self.model.fps, self.model.skeleton) for joints in made)
        answer = text[len(text_prompt(question)) :].strip().replace(MOTION_OUTPUT, MOTION_INPUT)
        # Of an answer that is longer than what is read at once, later turns are shown the end.
        body, longest = self.model.engine.folder.body, self.model.engine.longest_read
        kept = (*clips, *(features_of(motion.joints[0, -longest - 1 :], body) for motion in found))
        self.turns.append((compose(question, answer), kept))
        return Reply(" ".join(filter(None, parts)), found, tuple(lengths))

    def _question(self, instruction: str, motions: Sequence[Motion | str | Path]) -> tuple[str, tuple[Features, ...]]:
        check_words(instruction)
        if not instruction.strip():
            raise UserError("the instruction is empty; write what the model should do")
        places = instruction.count(PLACE)
        if not places and motions:
            instruction, places = " ".join([instruction, *[PLACE] * len(motions)]), len(motions)
        if places != len(motions):
            raise UserError(
                f"places for a motion in the instruction: {places}, motions that were given: {len(motions)}; "
                "on the command line a file stands in its place as <motion:FILE>"
            )
        return instruction.replace(PLACE, MOTION_INPUT), tuple(self._features(motion) for motion in motions)

    def _features(self, source: Motion | str | Path) -> Features:
        body, longest = self.model.engine.folder.body, self.model.engine.longest_read
        motion, what = self.model.read(source), called(source, "a motion of the conversation")
        require_readable(motion, body, what)
        joints = resample_motion(motion, body.fps).joints[0]
        if len(joints) > longest + 1:
            raise UserError(f"{what} lasts {motion.seconds:.1f} s; give at most {longest / body.fps:.1f} s")
        return features_of(joints, body)

    def _history(self) -> tuple[str, tuple[Features, ...]]:
        recent = self.turns[len(self.turns) - self.memory :] if self.memory else []
        return "".join(text for text, _ in recent), tuple(clip for _, clips in recent for clip in clips)


def check_length(model: Model, seconds: float | None) -> None:
    """Raises UserError when a motion of a conversation, which is made at once, cannot have this length."""
    low, high = (count / model.fps for count in model.engine.frames)
    if seconds is not None and not low <= seconds <= high:
        raise UserError(f"{seconds:g} s were asked for; in a conversation a motion has {low:g} to {high:g} s")


def last_motion(replies: Sequence[Reply]) -> Motion:
    """The newest motion of a conversation.

    Raises:
      UserError: there is none yet.
    """
    for reply in reversed(replies):
        if reply.motions:
            return reply.motions[-1]
    raise UserError("<motion:last>: there is no motion in this conversation yet")


NAMED = re.compile(r"<motion:([^<>]+)>")


def named_motions(instruction: str) -> tuple[str, list[str]]:
    """An instruction with `<motion>` for every `<motion:NAME>`, and the names."""
    return NAMED.sub(PLACE, instruction), NAMED.findall(instruction)
