"""MotionGPT3 as it is asked: questions laid out, and the phases of an answer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Int

from motiongpt3_jax.batch import Batch, ClipRange, Example, Places, Schema
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.token_sampling import TextOptions
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
from motiongpt3_jax.systems.motiongpt3.flops import motion_flops, text_flops
from motiongpt3_jax.systems.motiongpt3.generate_motion import MotionOptions
from motiongpt3_jax.systems.motiongpt3.layout import schema
from motiongpt3_jax.systems.motiongpt3.prompts import (
    TokenIds,
    compose,
    fill_input,
    fill_output,
    motion_output,
    text_prompt,
)
from motiongpt3_jax.systems.motiongpt3.sequences import sequence_example
from motiongpt3_jax.systems.motiongpt3.system import MotionGPT3
from motiongpt3_jax.systems.options import known_options
from motiongpt3_jax.text import TASKS, Task
from motiongpt3_jax.text.subtasks import PLACEHOLDER

LONGEST = 196
"""Frames of the longest motion that is made at once, as in the data of the field."""

SHOWN = 60
"""Letters of a text that an error shows of it."""


class MotionGPT3Answers:
    """A MotionGPT3 as inference knows it.

    Attributes:
      capabilities: what it can do.
      schema: the arrays that examples fill.
    """

    def __init__(self, spec: ModelSpec, system: MotionGPT3):
        self.system, self.tokenizer = system, spec.tokenizer
        adapters = spec.config["model"]["lora"]
        self.system_for = {makes: system.using(adapter_for(adapters, makes)) for makes in MAKES}
        self.tokens = TokenIds.of(spec.tokenizer, system.config.holders)
        self.interleave = spec.config["layout"]["interleave"]
        self.schema: Schema = schema(system.config.holders)
        vae = system.config.vae
        self.capabilities = Capabilities(
            TASKS,
            persons=1,
            length="before",
            longest_read=vae.longest_read,
            longest_made=min(LONGEST, vae.max_frames),
            chats=True,
        )

    def prepare(self, variables: Variables) -> Variables:
        """The decoder's layers one by one, of which answers copy none."""
        return self.system.unstacked(variables)

    def motion_options(self, **options: Any) -> MotionOptions:
        """How motions are sampled: by default with Euler steps where the model is a rectified flow.

        Raises:
          UserError: there is no such option, or it has no such value; or the sampler is for the other kind of model.
        """
        flow = self.system.config.flow
        chosen = MotionOptions(**{"sampler": "euler" if flow else "dpm++", **known_options(options, MotionOptions)})
        if (chosen.sampler == "euler") != flow:
            kind = "a rectified flow" if flow else "diffusion"
            raise UserError(
                f"sampler {chosen.sampler!r} does not fit this model, which was trained as {kind}: leave it out"
            )
        return chosen

    def text_options(self, begins_motion: bool = False, **options: Any) -> TextOptions:
        """How text is decoded; by default no motion is begun in it.

        Raises:
          UserError: there is no such option, or it has no such value.
        """
        tokens, options = self.tokens, known_options(options, TextOptions)
        usual: dict[str, Any] = {"end": tokens.end, "banned": (tokens.start_of_motion, tokens.end_of_motion)}
        if begins_motion:
            usual |= {"banned": (tokens.end_of_motion,), "stops": (tokens.start_of_motion,)}
        chosen = TextOptions(**{**usual, **options})
        if len({*chosen.banned} & {*range(tokens.text_vocabulary)}) == tokens.text_vocabulary:
            raise UserError("banned of a text names every id there is: leave some to write")
        return chosen

    def example(self, number: int, question: Question, makes: Makes, options: Any, frames: int = 0) -> Example:
        """A question laid out; of one that asks for a motion, what lies behind the last holder is left out.

        Raises:
          UserError: it is too long for the model.
        """
        del frames
        if makes == "motion" and not question.text:
            return Example(number)
        ids = np.asarray(self.tokenizer.encode(self._whole_text(question, makes)), np.int32)
        if makes == "motion":
            ids = ids[: np.flatnonzero(ids == self.tokens.output_holder)[-1] + 1]
        self._check_length(question, len(ids), options.max_new if makes == "text" else 0)
        ends = np.cumsum([0, *(len(clip) for clip in question.clips)]).tolist()
        everything = np.ones(len(ids), bool)
        example = sequence_example(
            number,
            ids,
            everything,
            everything,
            self.tokens,
            tuple(ClipRange(*piece) for piece in pairwise(ends)),
            inputs=len(question.clips),
            interleave=self.interleave,
        )
        # Of the motions of an answer only the last one is still to be made.
        last = slice(-1, None) if makes == "motion" else slice(0)
        outputs = {name: example.extra[name][last] for name in ("outputs", "output_clip", "output_seeds")}
        return Example(number, example.streams, example.clips, {**example.extra, **outputs})

    def official_question(
        self, text: str, task: Task, features: Features, options: MotionOptions
    ) -> tuple[Question, int, MotionOptions]:
        """Parts of the features of the whole motion; their latents are drawn, not taken at their mean.

        The answer has the length of the whole motion: the official prediction learned the latent of the last four
        fifths and yet decodes it so.
        """
        return Question(text, task.given(features)), len(features), replace(options, sample_clips=True)

    def _whole_text(self, question: Question, makes: Makes) -> str:
        def given(template: str) -> str:
            return fill_input(template, "", 0, 1.0, holders=self.tokens.holders)

        end, motion = self.tokenizer.end_token, motion_output(self.tokens.holders)
        turns = (compose(given(asked), given(answer), end) for asked, answer in question.turns)
        before = "".join((self.tokenizer.begin, *turns))
        if question.answer is None:
            prompt = given(question.text)
            ending = compose(prompt, motion, end) if makes == "motion" else text_prompt(prompt)
            return before + ending
        begun = text_prompt(given(question.text)) + fill_output(
            question.answer, "", 0, 1.0, holders=self.tokens.holders
        )
        return before + begun + (motion if makes == "motion" else "")

    def _check_length(self, question: Question, length: int, room: int) -> None:
        positions = self.system.config.decoder.max_positions
        most = positions - room
        if most < 1:
            raise UserError(f"{room} new tokens were asked for; this model reads and writes {positions} in all")
        if length > most:
            fewer = f"{most} where {room} are written: ask for fewer, or" if room else f"{most}:"
            raise UserError(
                f"{_shown(question.text)} takes {length} tokens with what stands around it; this model reads up to "
                f"{fewer} shorten it"
            )

    def phases(self, example: Example, makes: Makes, options: Any, longest: int) -> Sequence[Phase]:
        """Understand the given motions, then write; or find the condition, sample the latents and decode them."""
        system, phases = self.system_for[makes], []
        if example.clips:
            draws = makes == "motion" and options.sample_clips
            taken = ("batch", "seeds") if draws else ("batch", "")
            phases.append(Phase("understand", partial(_understand, system), taken, draws))
        if makes == "text":
            taken = ("batch", "understood", "seeds" if options.temperature else "", "places")
            return [*phases, Phase("write", partial(_write, system, options), taken, options)]
        if example.streams:
            taken = ("batch", "understood", "places")
            phases.append(Phase("condition", lambda *x: {"condition": system.conditions(*x)}, taken))
        else:
            # Guidance would compare the null condition with itself.
            options = replace(options, guidance_scale=1.0)
            phases.append(Phase("condition", partial(_null, system), ("seeds",), "null"))
        phases.append(Phase("sample", partial(_sample, system, options), ("condition", "seeds"), options))
        phases.append(Phase("decode", partial(_decode, system, longest), ("latents", "frames"), longest))
        return phases

    def text_of(self, tokens: Sequence[int], options: TextOptions) -> Text:
        """What decoded tokens say."""
        ids = list(tokens)
        ids = ids[: ids.index(options.end)] if options.end in ids else ids
        begins = bool(ids) and ids[-1] == self.tokens.start_of_motion
        ids = ids[:-1] if begins else ids
        return Text(self.tokenizer.decode(ids), self.tokenizer.decode(ids, skip_special=False), begins)

    def reconstruct(
        self, variables: Variables, features: Float[Array, "clips frames features"], frames: Int[Array, "clips"]
    ) -> Float[Array, "clips frames features"]:
        """Clips through the VAE and back, at the mean of their posterior."""
        return self.system.reconstruct(variables, features, frames)

    def flops(
        self,
        makes: Makes,
        examples: Sequence[Example],
        values: Mapping[str, np.ndarray],
        options: MotionOptions | TextOptions,
    ) -> Mapping[str, float]:
        """Those of clips and tokens that are read, of denoising steps and frames, or of the tokens that are written."""
        config = self.system_for[makes].config
        if makes == "motion":
            guided = options.guidance_scale != 1.0
            return motion_flops(config, examples, values["frames"].tolist(), options.steps, guided)
        ended = np.cumsum(values["tokens"] == options.end, axis=1) > 0
        written = np.minimum((~ended).sum(axis=1) + 1, values["tokens"].shape[1])
        return text_flops(config, examples, written.tolist())

    def code_motions(self, variables: Variables) -> Mapping[str, Float[Array, "frames features"]]:
        """Nothing: latents are continuous."""
        return {}


def _understand(
    system: MotionGPT3, variables: Variables, batch: Batch, seeds: Int[Array, "rows"] | None
) -> Mapping[str, Any]:
    """Latents of the clips that enter, and the batch without its clips."""
    return {"understood": system.understand(variables, batch, seeds), "batch": batch.replace(clips=())}


def _null(system: MotionGPT3, variables: Variables, seeds: Int[Array, "rows"]) -> Mapping[str, Any]:
    """The null condition of every request."""
    return {"condition": system.null_conditions(variables, len(seeds))}


def _sample(
    system: MotionGPT3,
    options: MotionOptions,
    variables: Variables,
    condition: Float[Array, "rows holders width"],
    seeds: Int[Array, "rows"],
) -> Mapping[str, Any]:
    """One latent a row."""
    return {"latents": system.latents(variables, condition, seeds, options)}


def _decode(
    system: MotionGPT3,
    length: int,
    variables: Variables,
    latents: Float[Array, "rows latents width"],
    frames: Int[Array, "rows"],
) -> Mapping[str, Any]:
    """Normalised features of each latent."""
    return {"features": system.features(variables, latents, frames, length), "frames": frames}


def _write(
    system: MotionGPT3,
    options: TextOptions,
    variables: Variables,
    batch: Batch,
    understood: Float[Array, "rows clips latents width"] | None,
    seeds: Int[Array, "requests"] | None,
    places: Places | None,
) -> Mapping[str, Any]:
    """Token ids that continue every prompt."""
    return {"tokens": system.respond_text(variables, batch, understood, seeds, options, places)}


def _shown(text: str) -> str:
    """The beginning of a long question, without the places of motions."""
    text = PLACEHOLDER.sub("", text).strip()
    return f"the sentence '{text[:SHOWN]}...'" if text else "the motion"
