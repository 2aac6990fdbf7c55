"""A language model with codes of motion as it is asked: questions laid out, and the phases of an answer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Int

from motiongpt3_jax.batch import Example, Schema
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models import T5Config, TextOptions
from motiongpt3_jax.systems.adapters import MAKES, adapter_for
from motiongpt3_jax.systems.interface import (
    Capabilities,
    Features,
    Makes,
    ModelSpec,
    Phase,
    Question,
    Text,
    Variables,
)
from motiongpt3_jax.systems.motion_codes import generate
from motiongpt3_jax.systems.motion_codes.check import read_layout
from motiongpt3_jax.systems.motion_codes.flops import answer_flops
from motiongpt3_jax.systems.motion_codes.generate import MotionOptions, code_options
from motiongpt3_jax.systems.motion_codes.layout import PAIR_SCHEMA, TEXT_SCHEMA
from motiongpt3_jax.systems.motion_codes.prompts import hidden_codes, official_cuts
from motiongpt3_jax.systems.motion_codes.questions import QuestionParts, Questions, read_reply
from motiongpt3_jax.systems.motion_codes.system import CodeModel
from motiongpt3_jax.systems.motion_codes.tokens import FRAMES_PER_CODE, MotionTokens, codes_of
from motiongpt3_jax.systems.options import known_options
from motiongpt3_jax.text import TASKS, Task
from motiongpt3_jax.text.subtasks import PLACEHOLDER
from motiongpt3_jax.text.tokenizer import UNIGRAM, UNIGRAM_SPECIALS

LONGEST = 196
"""Frames of the longest motion that is made at once, as in the data of the field."""

SHOWN = 60
"""Letters of a text that an error shows of it."""

S1, MASKED = "<Motion_Placeholder_s1>", "<Motion_Placeholder_Masked>"


class CodeModelAnswers:
    """A language model with codes of motion as inference knows it.

    Args:
      spec: what the model was made from.
      system: the model.
      tokens: its ids of motions.
      temperature: of drawn codes, where a request names none.

    Attributes:
      capabilities: what it can do.
      schema: the arrays that examples fill.
    """

    def __init__(self, spec: ModelSpec, system: CodeModel, tokens: MotionTokens, temperature: float = 1.0):
        model, options = spec.config["model"], read_layout(spec.config["layout"])
        self.modules, self.tokenizer = system.modules, spec.tokenizer
        self.adapters = {makes: adapter_for(model["lora"], makes) for makes in MAKES}
        self.tokens, self.temperature = tokens, temperature
        self.questions = Questions(spec.tokenizer, tokens, options.official)
        self.paired = isinstance(system.config.language, T5Config)
        self.schema: Schema = PAIR_SCHEMA if self.paired else TEXT_SCHEMA
        self.most_read = options.max_length
        self.most_positions = model["language"]["max_positions"]
        longest = codes_of(max(LONGEST, spec.config["data"]["max_frames"])) * FRAMES_PER_CODE
        self.capabilities = Capabilities(
            TASKS,
            persons=1,
            length="either",
            longest_read=spec.config["data"]["max_frames"],
            longest_made=longest,
            chats=True,
            end_of_codes=self.tokens.end_of_motion - self.tokens.words,
        )

    def prepare(self, variables: Variables) -> Variables:
        """The language model's layers one by one, of which decode steps copy none."""
        return variables.replace(params=self.modules.language.unstacked(variables.params))

    def motion_options(self, **options: Any) -> MotionOptions:
        """How motions are sampled: drawn, unless the temperature is 0 or several are followed.

        Raises:
          UserError: there is no such option, or it has no such value.
        """
        options = dict(known_options(options, MotionOptions))
        if options.get("beams", 1) != 1:
            options.setdefault("temperature", 0.0)
        if not options.setdefault("temperature", self.temperature):
            options.setdefault("top_k", 0)
        return MotionOptions(**options)

    def text_options(self, begins_motion: bool = False, **options: Any) -> TextOptions:
        """How text is decoded, greedily unless something else is asked for; by default no motion is begun in it.

        Raises:
          UserError: there is no such option, or it has no such value.
        """
        tokens, options = self.tokens, known_options(options, TextOptions)
        start = tokens.start_of_motion
        unknown = (UNIGRAM_SPECIALS.index("<unk>"),) if self.tokenizer.kind == UNIGRAM else ()
        never = {*range(tokens.words, tokens.size), *tokens.specials, *unknown} - {tokens.end}
        usual: dict[str, Any] = {"end": tokens.end, "banned": tuple(sorted(never)), "repetition_penalty": 1.0}
        usual["collect_finished"] = options.get("beams", 1) > 1
        if begins_motion:
            usual |= {"banned": tuple(sorted(never - {start})), "stops": (start,)}
        return TextOptions(**{**usual, **options})

    def example(self, number: int, question: Question, makes: Makes, options: Any, frames: int = 0) -> Example:
        """A question laid out, and the answer up to where it goes on.

        Raises:
          UserError: it is too long for the model.
        """
        clips = (*question.clips, *question.answer_clips)
        counts = self._counts([len(clip) for clip in clips])
        more: dict[str, Any] = {"masks": 0, "motions": None}
        if makes == "motion" and MASKED in question.text and len(clips) > 1:
            more["masks"] = hidden_codes(frames, *counts[:2])
        if makes == "motion" and options.whole_clips and len(clips) == 1:
            counts, more = self._cut_whole(question.text, counts[0])
        parts = QuestionParts(
            question.text,
            counts,
            begins_motion=makes == "motion",
            turns=question.turns,
            answer=question.answer or "",
            **more,
        )
        lay_out = self.questions.pair if self.paired else self.questions.one_text
        example = lay_out(number, parts)
        self._check_length(question, example, self._most_new(makes, options))
        return example

    def official_question(
        self, text: str, task: Task, features: Features, options: MotionOptions
    ) -> tuple[Question, int, MotionOptions]:
        """The whole motion, of whose codes some are given; the model ends the answer.

        Every code has seen 88 frames on either side, so that what is given tells of what is to be made. The answer to
        a prediction is, as officially, what follows alone.
        """
        return Question(text, (features,)), 0, replace(options, whole_clips=True)

    def _cut_whole(self, text: str, frames: int) -> tuple[list[int], dict[str, Any]]:
        """The given codes of a clip that is encoded whole, frames beyond a multiple of four left out."""
        frames -= frames % FRAMES_PER_CODE
        task = next((task for place, task in CUT.items() if place in text), None)
        if task is None:
            return [frames], {}
        (codes,) = self.questions.motions([frames])
        inputs, _, masks = official_cuts(codes, TASKS[task], frames)
        return [frames], {"motions": inputs, "masks": masks}

    def _counts(self, frames: list[int]) -> list[int]:
        """Frames of each clip that are encoded."""
        return frames

    def _most_new(self, makes: Makes, options: Any) -> int:
        return options.max_new if makes == "text" else codes_of(self.capabilities.longest_made)

    def _check_length(self, question: Question, example: Example, room: int) -> None:
        length = max(len(slots.ids) for slots in example.streams.values())
        most = self.most_read if self.most_positions is None else self.most_positions - room
        if most < 1:
            raise UserError(
                f"{room} new tokens were asked for; this model reads and writes {self.most_positions} in all"
            )
        if length > most:
            raise UserError(f"{_shown(question.text)} takes {length} tokens; this model reads up to {most}: shorten it")

    def phases(self, example: Example, makes: Makes, options: Any, longest: int) -> Sequence[Phase]:
        """Read the clips, prefill, decode until the end; of a motion also render its codes."""
        adapter, motion = self.adapters[makes], makes == "motion"
        modules = self.modules.using(adapter)
        if motion:
            most = codes_of(longest or self.capabilities.longest_made)
            options = code_options(self.tokens, options, most)
        phases = [Phase("read", partial(generate.read, modules), ("batch",))] if example.clips else []
        room = options.cache_slots
        prefill = partial(generate.prefill, modules, room)
        phases.append(Phase("prefill", prefill, ("batch", "codes", "places"), (room, adapter)))
        taken = ("prefix", "seeds" if options.temperature else "", "frames" if longest else "")
        decode = partial(generate.decode, modules, options, motion)
        phases.append(Phase("decode", decode, taken, (options, motion, adapter, longest)))
        if motion:
            phases.append(Phase("render", partial(generate.render, modules, options.end), ("tokens", "frames")))
        return phases

    def text_of(self, tokens: Sequence[int], options: TextOptions) -> Text:
        """What decoded tokens say."""
        ids = list(tokens)
        ids = ids[: ids.index(options.end)] if options.end in ids else ids
        begins = bool(ids) and ids[-1] == self.tokens.start_of_motion
        words = " ".join(part for part in read_reply(ids, self.tokenizer, self.tokens) if isinstance(part, str))
        return Text(words, PLACEHOLDER.sub("", words), begins)

    def reconstruct(
        self, variables: Variables, features: Float[Array, "clips frames features"], frames: Int[Array, "clips"]
    ) -> Float[Array, "clips frames features"]:
        """Clips to codes and back."""
        return generate.reconstruct(self.modules, variables, features, frames)

    def flops(
        self, makes: Makes, examples: Sequence[Example], values: Mapping[str, np.ndarray], options: Any
    ) -> Mapping[str, float]:
        """Those of the clips and tokens that are read, and of the tokens that are written, their ends included."""
        del options
        tokens, motion = np.asarray(values["tokens"]), makes == "motion"
        end = (self.tokens.end_of_motion - self.tokens.words) if motion else self.tokens.end
        ended = np.cumsum(tokens == end, axis=1) > 0
        written = np.minimum((~ended).sum(axis=1) + 1, tokens.shape[1]).tolist()
        return answer_flops(self.modules.using(self.adapters[makes]).config, examples, written, motion)

    def code_motions(self, variables: Variables) -> Mapping[str, Float[Array, "frames features"]]:
        """The codes in most use, each repeated for about a second."""
        return generate.code_motions(self.modules, variables)


CUT = {S1: "predict", MASKED: "inbetween"}
"""The task that a placeholder of a part of a clip belongs to."""


def _shown(text: str) -> str:
    """The beginning of a long question, without the places of motions."""
    text = PLACEHOLDER.sub("", text).strip()
    return f"the sentence '{text[:SHOWN]}...'" if text else "the motion"
