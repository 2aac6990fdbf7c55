"""A language model with codes of motion that is asked about two people too."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from motiongpt3_jax.batch import Example
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models import TextOptions
from motiongpt3_jax.motion.place_codes import encode_places
from motiongpt3_jax.systems.adapters import PAIR_MAKES, adapter_for
from motiongpt3_jax.systems.interface import Makes, ModelSpec, Phase, Question, Variables
from motiongpt3_jax.systems.motion_codes import generate
from motiongpt3_jax.systems.motion_codes.answers import CodeModelAnswers
from motiongpt3_jax.systems.motion_codes.flops import answer_flops
from motiongpt3_jax.systems.motion_codes.generate import MotionOptions
from motiongpt3_jax.systems.motion_codes.losses import decode_codes
from motiongpt3_jax.systems.motion_codes.modules import Modules
from motiongpt3_jax.systems.motion_codes.pair_grammar import PairGrammar
from motiongpt3_jax.systems.motion_codes.pair_layout import fill_pair_parts
from motiongpt3_jax.systems.motion_codes.pair_sequences import PairSequences, anchors_of, read_pairs
from motiongpt3_jax.systems.motion_codes.pieces import Piece, encode_parts, join, plain, single, slots_of
from motiongpt3_jax.systems.motion_codes.questions import clip_ranges
from motiongpt3_jax.systems.motion_codes.system import CodeModel
from motiongpt3_jax.systems.motion_codes.tokens import FRAMES_PER_CODE, MotionTokens, codes_of
from motiongpt3_jax.text import ALL_TASKS


class PairAnswers(CodeModelAnswers):
    """A model of one person and of two; see `systems.interface.Answers`."""

    def __init__(
        self, spec: ModelSpec, system: CodeModel, tokens: MotionTokens, sequences: PairSequences, temperature: float
    ):
        super().__init__(spec, system, tokens, temperature)
        self.sequences = sequences
        self.adapters |= {makes: adapter_for(spec.config["model"]["lora"], makes) for makes in PAIR_MAKES}
        self.capabilities = replace(self.capabilities, tasks=ALL_TASKS, persons=2)

    def example(self, number: int, question: Question, makes: Makes, options: Any, frames: int = 0) -> Example:
        """A question laid out; the clips of one about two people are those of the first, or of both.

        Raises:
          UserError: it is too long for the model.
        """
        if makes not in PAIR_MAKES:
            return super().example(number, question, makes, options, frames)
        counts = [len(clip) for clip in question.clips]
        words = fill_pair_parts(question.text, "", 0, 20.0, 1.0, self._people(question, counts))
        pieces = [plain(()) if self.tokens.begin is None else single(self.tokens.begin)]
        pieces.append(encode_parts(self.tokenizer, [[*words, self.questions.text_break]], trim=True)[0])
        if makes == "pair" and not counts:
            pieces.append(single(self.sequences.tokens.start(0)))
        example = Example(number, {"tokens": slots_of(join(*pieces))}, clip_ranges(counts))
        self._check_length(question, example, self._most_new(makes, options))
        return example

    def _people(self, question: Question, counts: Sequence[int]) -> list[Piece]:
        codes = self.questions.motions(counts)
        if len(codes) < 2:
            return [self.sequences.person(piece) for piece in codes]
        places = encode_places(np.reshape(question.place, (-1, 3)))
        return [self.sequences.pair(*codes, places)]

    def phases(self, example: Example, makes: Makes, options: Any, longest: int) -> Sequence[Phase]:
        """Read the clips, prefill, decode by the grammar of two people, render both; of a text as for one."""
        if makes != "pair":
            return super().phases(example, makes, options, longest)
        adapter, reaction = self.adapters[makes], bool(example.clips)
        modules = self.modules.using(adapter)
        grammar = self._grammar(codes_of(longest or self.capabilities.longest_made), reaction)
        chosen = self._options(options, grammar)
        phases = [Phase("read", partial(generate.read, modules), ("batch",))] if example.clips else []
        room = chosen.cache_slots
        phases.append(
            Phase("prefill", partial(generate.prefill, modules, room), ("batch", "codes", "places"), (room, adapter))
        )
        decode = partial(generate.decode, modules, chosen, True, grammar=grammar)
        seeds = "seeds" if chosen.temperature else ""
        render = partial(render_pairs, modules, grammar)
        return [
            *phases,
            Phase("decode", decode, ("prefix", seeds, "frames"), (chosen, grammar)),
            Phase("render", render, ("tokens", "frames"), grammar),
        ]

    def _grammar(self, most: int, reaction: bool) -> PairGrammar:
        config, tokens = self.modules.config, self.tokens
        return PairGrammar(
            self.sequences, tokens.first_code, tokens.codes, most, config.new_ids, reaction, config.words
        )

    def _options(self, options: MotionOptions, grammar: PairGrammar) -> TextOptions:
        if options.beams > 1 or options.whole_clips:
            raise UserError("two people are sampled, or the best ids taken: leave beams and whole_clips out")
        return TextOptions(
            end=self.sequences.tokens.end(1) - self.tokens.words,
            max_new=grammar.max_new,
            repetition_penalty=1.0,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
        )

    def _most_new(self, makes: Makes, options: Any) -> int:
        if makes == "pair":
            return self._grammar(codes_of(self.capabilities.longest_made), False).max_new
        return options.max_new if makes == "pair_text" else super()._most_new(makes, options)

    def flops(
        self, makes: Makes, examples: Sequence[Example], values: Mapping[str, np.ndarray], options: Any
    ) -> Mapping[str, float]:
        """Those of the clips and tokens that are read, and of the tokens that are written, their ends included."""
        if makes not in PAIR_MAKES:
            return super().flops(makes, examples, values, options)
        tokens = np.asarray(values["tokens"])
        end = self.sequences.tokens.end(1) - self.tokens.words if makes == "pair" else self.tokens.end
        written = np.minimum((np.cumsum(tokens == end, axis=1) == 0).sum(axis=1) + 1, tokens.shape[1]).tolist()
        return answer_flops(self.modules.config, examples, written, makes == "pair")


def render_pairs(
    modules: Modules, grammar: PairGrammar, variables: Variables, tokens: Int[Array, "rows tokens"], frames: Array
) -> Mapping[str, Any]:
    """Normalised features of both people, of a reaction of the second alone; and the codes of its places."""
    sequences = grammar.sequences
    read = read_pairs(
        tokens + grammar.offset,
        sequences.tokens,
        grammar.first_code,
        grammar.codes,
        "following" if grammar.reaction else sequences.order,
        grammar.reaction,
    )
    people = slice(1, 2) if grammar.reaction else slice(0, 2)
    codes, counts = read.codes[:, people, : grammar.most], read.counts[:, people]
    inside = jnp.arange(codes.shape[2]) < counts[..., None]
    vectors = variables.state["codebook"]["table"][jnp.where(inside, codes, 0)]
    features = decode_codes(
        modules, variables, vectors.reshape(-1, *vectors.shape[2:]), jnp.minimum(counts, grammar.most).reshape(-1)
    )
    features = features.reshape(*codes.shape[:2], *features.shape[1:])
    whole = counts.min(axis=1) * FRAMES_PER_CODE
    frames = jnp.where(frames > 0, jnp.minimum(frames, whole), whole)
    shown = (jnp.arange(features.shape[2]) < frames[:, None])[:, None, :, None]
    most = 1 + sequences.anchors * anchors_of(grammar.most)
    return {
        "features": jnp.where(shown, features, 0.0),
        "frames": frames,
        "place_codes": read.places[:, :most],
        "times": jnp.minimum(read.times, most),
    }
