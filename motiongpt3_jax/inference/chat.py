"""Multi-turn chat about text and motion: the model itself decides whether it answers in words, in motion or in both.

After the instruction the text branch writes on. Where it begins a motion, the holders follow, their hidden states
become a motion, and the text goes on behind it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.clips import features_of, name_motion, require_readable
from motiongpt3_jax.inference.continuation import seed_of
from motiongpt3_jax.inference.engine import check_seeds
from motiongpt3_jax.inference.lengths import Length
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.inference.notes import note_task, note_words
from motiongpt3_jax.inference.prompts import sentence_of
from motiongpt3_jax.motion import Motion
from motiongpt3_jax.motion.resample import resample_motion
from motiongpt3_jax.systems.interface import Features, Question
from motiongpt3_jax.text import check_words

PLACE = "<motion>"
"""Where a motion stands in an instruction."""

MOTION = "<Motion_Placeholder>"
"""Where a motion stands in what a system is asked."""

MOST_MOTIONS = 3
"""Motions in one answer."""


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
      text: its words; empty when there are none.
      motions: its motions, in their order.
      lengths: who said how long each motion, or each step of it, is to be.
      steps: the sentences that the motion shows one after the other, where it was planned.
    """

    text: str
    motions: tuple[Motion, ...] = ()
    lengths: tuple[Length, ...] = ()
    steps: tuple[str, ...] = ()


@dataclass
class Chat:
    """A conversation.

    Attributes:
      model: who answers.
      memory: how many earlier turns the model is shown with each instruction. Training shows single turns, so a model
        that was not trained on several answers best with 0.
      turns: (question, answer, clips): texts with placeholders, and the motions that stand there.
    """

    model: Model
    memory: int = 0
    turns: list[tuple[str, str, tuple[Features, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.memory < 0:
            raise UserError(f"memory is {self.memory}: show 0 or more earlier turns")
        if not self.model.engine.answers.capabilities.chats:
            raise UserError("this model's system does not chat: ask it for a motion or a caption")

    def say(
        self,
        instruction: str,
        motions: Motion | str | Path | Sequence[Motion | str | Path] = (),
        *,
        seconds: float | None = None,
        seed: int = 0,
        decoding: Mapping[str, Any] | None = None,
        **sampling: Any,
    ) -> Reply:
        """The answer to an instruction.

        Warns with a `Note` where the model was not trained to chat, and of words that it never saw.

        Args:
          instruction: any sentence; `<motion>` stands for the motions, in order. Where it stands nowhere, they follow
            the sentence.
          motions: what the instruction is about, motions or motion files; of each the first person.
          seconds: length of a motion in the answer; None lets the model say, see `Model.lengths`.
          seed: decides drawn words and motions.
          decoding: see `Model.text_options`.
          **sampling: see `Model.motion_options`.

        Raises:
          UserError: places and motions do not go together, or a motion or the conversation is too long.
        """
        check_seeds([seed])
        check_length(self.model, seconds)
        motions = [motions] if isinstance(motions, Motion | str | Path) else motions
        question, clips = self._question(instruction, motions)
        options = self.model.motion_options(**sampling)
        note_task(self.model.prompts.chats, "chat")
        note_words(self.model.engine.folder, [instruction.replace(PLACE, " ")])
        earlier, shown = self._history()
        engine, clips = self.model.engine, (*shown, *clips)
        statistics = engine.folder.statistics
        answer, parts, motion_joints, answer_clips, lengths = "", [], [], (), []
        while True:
            writing = self.model.text_options(begins_motion=len(motion_joints) < MOST_MOTIONS, **(decoding or {}))
            request = Question(question, clips, answer, earlier, answer_clips)
            text = engine.generate_texts([request], writing, [seed_of(seed, len(motion_joints), 1)])[0]
            parts.append(sentence_of(text.words))
            answer += text.whole
            if not text.begins_motion:
                break
            length = self.model.lengths([instruction.split(PLACE)[0]], seconds, seed)[0]
            request = replace(request, answer=answer)
            motion_seed = seed_of(seed, len(motion_joints))
            motion_joints += engine.generate_motions([request], [length.frames], [motion_seed], options)
            # Of an answer that is longer than what is read at once, the model is shown the end.
            answer_clip = features_of(motion_joints[-1][-engine.longest_read - 1 :], statistics)
            answer_clips = (*answer_clips, answer_clip)
            answer += MOTION
            lengths.append(length)
        motions = tuple(Motion(joints[None], self.model.fps, self.model.skeleton) for joints in motion_joints)
        self.turns.append((question, answer.strip(), (*clips[len(shown) :], *answer_clips)))
        return Reply(" ".join(filter(None, parts)), motions, tuple(lengths))

    def _question(self, instruction: str, motions: Sequence[Motion | str | Path]) -> tuple[str, tuple[Features, ...]]:
        instruction = check_places(instruction, len(motions))
        return instruction.replace(PLACE, MOTION), tuple(self._features(motion) for motion in motions)

    def _features(self, source: Motion | str | Path) -> Features:
        statistics, longest = self.model.engine.folder.statistics, self.model.engine.longest_read
        motion, what = self.model.read(source), name_motion(source, "a motion of the conversation")
        require_readable(motion, statistics, what)
        joints = resample_motion(motion, statistics.fps).joints[0]
        if len(joints) > longest + 1:
            raise UserError(f"{what} lasts {motion.seconds:.1f} s; give at most {longest / statistics.fps:.1f} s")
        return features_of(joints, statistics)

    def _history(self) -> tuple[tuple[tuple[str, str], ...], tuple[Features, ...]]:
        """(earlier questions and answers, the motions in them) that the model is shown."""
        recent = self.turns[len(self.turns) - self.memory :] if self.memory else []
        texts = tuple((question, answer) for question, answer, _ in recent)
        return texts, tuple(clip for *_, clips in recent for clip in clips)


def check_places(instruction: str, motions: int) -> str:
    """An instruction with a place for each of so many motions; behind it where it has none.

    Raises:
      UserError: it is empty, holds what is no text, or has places for another number of motions.
    """
    check_words(instruction)
    if not instruction.strip():
        raise UserError("the instruction is empty; write what the model should do")
    places = instruction.count(PLACE)
    if not places and motions:
        instruction, places = " ".join([instruction, *[PLACE] * motions]), motions
    if places != motions:
        raise UserError(
            f"places for a motion in the instruction: {places}, motions that were given: {motions}; "
            "on the command line a file stands in its place as <motion:FILE>"
        )
    return instruction


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
