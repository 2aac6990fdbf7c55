"""The token model as it is asked: prefill, decode until the end, render the codes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from motiongpt3_jax.batch import ClipRange, Example, Schema
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models import TextOptions
from motiongpt3_jax.systems.interface import Capabilities, Features, Makes, Phase, Question, Text, Variables
from motiongpt3_jax.systems.options import known_options
from motiongpt3_jax.text import Task
from tests.systems.codes.alphabet import BEGIN, HALT, TURN
from tests.systems.codes.layout import Composer, join, slots_of
from tests.systems.codes.quantiser import dequantise, quantise
from tests.systems.codes.system import CodeScript, unstacked

MOST_CODES = 40
"""Codes of the longest motion."""


@dataclass(frozen=True)
class DanceOptions:
    """How codes are drawn, see `TextOptions`."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


class CodeScriptAnswers:
    """The model as inference knows it."""

    schema = Schema(sources=("tokens",))

    def __init__(self, system: CodeScript, tasks: Mapping[str, Task]):
        self.system, self.alphabet, self.chunk = system, system.alphabet, system.sizes.chunk
        self.composer = Composer(system.alphabet, self.chunk)
        longest = MOST_CODES * self.chunk
        self.capabilities = Capabilities(tasks, 1, "after", longest_read=longest, longest_made=longest)

    def prepare(self, variables: Variables) -> Variables:
        """Layers one by one."""
        return variables.replace(params=unstacked(variables.params))

    def motion_options(self, **options: Any) -> DanceOptions:
        """How motions are sampled."""
        chosen = DanceOptions(**known_options(options, DanceOptions))
        TextOptions(end=0, **asdict(chosen))
        return chosen

    def text_options(self, begins_motion: bool = False, **options: Any) -> TextOptions:
        """How text is decoded: in words alone."""
        others = tuple(range(self.alphabet.words, self.alphabet.size))
        usual = {"end": self.alphabet.end, "banned": others}
        return TextOptions(**{**usual, **known_options(options, TextOptions)})

    def example(self, number: int, question: Question, makes: Makes, options: Any, frames: int = 0) -> Example:
        """A question laid out, up to where the answer begins."""
        del frames
        frames = [len(clip) for clip in question.clips]
        pieces = [] if not question.text else [self.composer.text_with_motions(question.text, frames)]
        pieces += [self.composer.mark(TURN)] if pieces else []
        pieces += [self.composer.mark(BEGIN)] if makes == "motion" else []
        slots = slots_of(join(*pieces))
        room = self.system.sizes.max_positions - (MOST_CODES if makes == "motion" else options.max_new)
        if len(slots.ids) > room:
            raise UserError(f"the question takes {len(slots.ids)} tokens; this model reads up to {room}: shorten it")
        ends = np.cumsum([0, *frames]).tolist()
        clips = tuple(ClipRange(*piece) for piece in pairwise(ends))
        return Example(number, {"tokens": slots}, clips)

    def official_question(
        self, text: str, task: Task, features: Features, options: DanceOptions
    ) -> tuple[Question, int, DanceOptions]:
        """The given parts of the motion; the model ends the answer."""
        return Question(text, task.given(features)), 0, options

    def phases(self, example: Example, makes: Makes, options: Any, longest: int) -> Sequence[Phase]:
        """Prefill and decode; of a motion also render."""
        system, motion = self.system, makes == "motion"
        codes = tuple(range(self.alphabet.first_code, self.alphabet.size))
        halt = self.alphabet.mark(HALT)
        if motion:
            chosen = {"allowed": codes, "max_new": MOST_CODES, "repetition_penalty": 1.0}
            options = TextOptions(end=halt, **chosen, **asdict(options))

        def prefill(variables: Variables, batch: Any) -> Mapping[str, Any]:
            logits, cache = system.prefill(variables, batch)
            # A motion has some frames.
            logits = jnp.where(motion & (jnp.arange(logits.shape[1]) == halt), -jnp.inf, logits)
            return {"logits": logits, "cache": cache}

        def decode(variables: Variables, *arguments: Any) -> Mapping[str, Any]:
            return {"tokens": system.decode(variables, *arguments, options)}

        phases = [
            Phase("prefill", prefill, ("batch",), makes),
            Phase("decode", decode, ("batch", "logits", "cache", "seeds"), options),
        ]
        return [*phases, Phase("render", system.render, ("tokens",))] if motion else phases

    def text_of(self, tokens: Sequence[int], options: TextOptions) -> Text:
        """What decoded tokens say."""
        ids = list(tokens)
        words = self.alphabet.decode(ids[: ids.index(options.end)] if options.end in ids else ids)
        return Text(words, words, False)

    def reconstruct(
        self, variables: Variables, features: Float[Array, "clips frames features"], frames: Int[Array, "clips"]
    ) -> Float[Array, "clips frames features"]:
        """To codes and back."""
        codebook = variables.state["codebook"]
        codes = quantise(codebook, features, frames, self.chunk)
        return dequantise(codebook, codes, self.chunk)[:, : features.shape[1]]

    def flops(
        self, makes: Makes, examples: Sequence[Example], values: Mapping[str, np.ndarray], options: Any
    ) -> Mapping[str, float]:
        """Those of the scores of all written tokens."""
        return {"decode": 2.0 * self.system.sizes.width * self.alphabet.size * values["tokens"].size}

    def code_motions(self, variables: Variables) -> Mapping[str, Float[Array, "frames features"]]:
        """The first codes of the codebook."""
        rows = variables.state["codebook"][:2]
        return {f"code {number}": jnp.repeat(row[None], self.chunk, axis=0) for number, row in enumerate(rows)}
