"""MotionLLM as the published code asks it: any id may follow, and what is no code becomes code 0."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from motiongpt3_jax.batch import Example
from motiongpt3_jax.models import TextOptions
from motiongpt3_jax.models.token_sampling import text_lengths
from motiongpt3_jax.systems.interface import Makes, ModelSpec, Phase, Text, Variables
from motiongpt3_jax.systems.motion_codes import generate
from motiongpt3_jax.systems.motion_codes.answers import CodeModelAnswers
from motiongpt3_jax.systems.motion_codes.flops import answer_flops
from motiongpt3_jax.systems.motion_codes.generate import MotionOptions
from motiongpt3_jax.systems.motion_codes.language import Prefix
from motiongpt3_jax.systems.motion_codes.losses import decode_codes
from motiongpt3_jax.systems.motion_codes.modules import Modules
from motiongpt3_jax.systems.motion_codes.questions import Questions
from motiongpt3_jax.systems.motion_codes.system import CodeModel
from motiongpt3_jax.systems.motion_codes.tokens import FRAMES_PER_CODE, MotionTokens
from motiongpt3_jax.systems.motionllm.tokens import with_motion_tokens
from motiongpt3_jax.systems.options import known_options

BEAMS = {"motion": 5, "text": 2}
"""How many answers the published code follows at once."""

FALLBACK = 1
"""The code that the published evaluation takes for a motion without any."""


class OfficialAnswers(CodeModelAnswers):
    """MotionLLM with the published code's choices; see `CodeModelAnswers`.

    Motions and captions are searched over all ids, up to `layout.max_length` with the question, and the model ends them
    itself.
    """

    def __init__(self, spec: ModelSpec, system: CodeModel, tokens: MotionTokens):
        super().__init__(spec, system, tokens)
        self.tokenizer = with_motion_tokens(spec.tokenizer, tokens)
        self.questions = Questions(self.tokenizer, tokens, official=True, text_break="")
        self.most_positions = spec.config["layout"]["max_length"]
        self.capabilities = replace(self.capabilities, length="after", chats=False, end_of_codes=None)

    def motion_options(self, **options: Any) -> MotionOptions:
        """How motions are sampled: the best of five beams, unless something else is asked for.

        Raises:
          UserError: there is no such option, or it has no such value.
        """
        options = dict(known_options(options, MotionOptions))
        if not options.get("temperature", 0.0):
            options = {"temperature": 0.0, "top_k": 0, "beams": BEAMS["motion"], **options}
        return MotionOptions(**options)

    def text_options(self, begins_motion: bool = False, **options: Any) -> TextOptions:
        """How text is decoded: the better of two beams, unless something else is asked for.

        Raises:
          UserError: there is no such option, or it has no such value.
        """
        del begins_motion  # any id may follow
        options = known_options(options, TextOptions)
        beams = {} if options.get("temperature", 0.0) else {"beams": BEAMS["text"]}
        return self._search(**{**beams, **options})

    def _search(self, beams: int = 1, **options: Any) -> TextOptions:
        usual = {"end": self.tokens.end, "repetition_penalty": 1.0, "max_new": self.most_positions}
        return TextOptions(beams=beams, **{**usual, "collect_finished": beams > 1, **options})

    def _counts(self, frames: list[int]) -> list[int]:
        """Those of a motion alone, up to a multiple of four."""
        return frames if len(frames) > 1 else [count - count % FRAMES_PER_CODE for count in frames]

    def _most_new(self, makes: Makes, options: Any) -> int:
        return 1  # an answer takes what the question leaves

    def phases(self, example: Example, makes: Makes, options: Any, longest: int) -> Sequence[Phase]:
        """Read the clips, prefill, decode until the end; of a motion also render its codes."""
        del longest
        adapter, motion = self.adapters[makes], makes == "motion"
        modules = self.modules.using(adapter)
        if motion:
            drawn = {name: getattr(options, name) for name in ("temperature", "top_k", "top_p", "beams")}
            options = self._search(early_stopping=options.beams > 1, **drawn)
        room = options.cache_slots
        phases = [Phase("read", partial(generate.read, modules), ("batch",))] if example.clips else []
        phases.append(
            Phase("prefill", partial(generate.prefill, modules, room), ("batch", "codes", "places"), (room, adapter))
        )
        run = partial(decode, modules, options, self.most_positions)
        phases.append(Phase("decode", run, ("prefix", "seeds" if options.temperature else ""), (options, adapter)))
        if motion:
            phases.append(Phase("render", partial(render, modules, self.tokens), ("tokens", "lengths")))
        return phases

    def text_of(self, tokens: Sequence[int], options: TextOptions) -> Text:
        """What decoded tokens say, up to the end; ids of motions and other tokens stay in it."""
        words = self.tokenizer.decode(tokens, skip_special=False).split(self.tokenizer.end_token)[0]
        return Text(words, words, False)

    def flops(
        self, makes: Makes, examples: Sequence[Example], values: Mapping[str, np.ndarray], options: Any
    ) -> Mapping[str, float]:
        """Those of the clips and tokens that are read, and of the tokens that are written, their ends included."""
        del options
        tokens = np.asarray(values["tokens"])
        ended = np.cumsum(tokens == self.tokens.end, axis=1) > 0
        written = np.minimum((~ended).sum(axis=1) + 1, tokens.shape[1]).tolist()
        return answer_flops(self.modules.using(self.adapters[makes]).config, examples, written, makes == "motion")


def decode(
    modules: Modules,
    options: TextOptions,
    longest: int,
    variables: Variables,
    prefix: Prefix,
    seeds: Int[Array, "rows"] | None,
) -> Mapping[str, Any]:
    """Ids that continue each prompt, until both are `longest` together; and how many they are, with their end."""
    rooms = longest - prefix.positions
    tokens = generate.decode(modules, options, False, variables, prefix, seeds, None, rooms)["tokens"]
    return {"tokens": tokens, "lengths": jnp.minimum(text_lengths(tokens, options), rooms)}


def official_codes(
    tokens: Int[Array, "rows tokens"], lengths: Int[Array, "rows"], ids: MotionTokens
) -> tuple[Int[Array, "rows tokens"], Int[Array, "rows"]]:
    """(codes, how many count) of decoded ids: all up to the first end of a motion, what is no code as code 0.

    The end of the text is such a one where no end of a motion comes before it.

    Args:
      tokens: of each text.
      lengths: how many there are of each.
      ids: which they are.
    """
    ended = tokens == ids.end_of_motion
    counts = jnp.where(ended.any(axis=1), jnp.minimum(jnp.argmax(ended, axis=1), lengths), lengths)
    return jnp.clip(tokens - ids.first_code, 0, ids.codes - 1), counts


def render(
    modules: Modules,
    ids: MotionTokens,
    variables: Variables,
    tokens: Int[Array, "rows tokens"],
    lengths: Int[Array, "rows"],
) -> Mapping[str, Float[Array, "rows ..."]]:
    """Normalised features of decoded ids; a motion without codes becomes one of `FALLBACK`."""
    codes, counts = official_codes(tokens, lengths, ids)
    codes = jnp.where((counts == 0)[:, None], FALLBACK, codes)
    counts = jnp.maximum(counts, 1)
    vectors = variables.state["codebook"]["table"][codes]
    features = decode_codes(modules, variables, vectors, counts)
    frames = counts * FRAMES_PER_CODE
    inside = jnp.arange(features.shape[1]) < frames[:, None]
    return {"features": jnp.where(inside[..., None], features, 0.0), "frames": frames}
