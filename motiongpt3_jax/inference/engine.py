"""A model loaded once: questions to motions and to texts, many at once.

Requests of different tasks and lengths share a few compiled shapes: rows, text slots and frames are rounded up to the
next of a short list. A request's result depends on its own question and seed alone, not on its batch mates.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from motiongpt3_jax.batch import Batch, Example
from motiongpt3_jax.data_pipelines.packing import RowShape, build, useful
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.folder import Body, ModelFolder, read_folder, resolve_model
from motiongpt3_jax.inference.shapes import FRAME_STEP, chunks, filled, slots, up
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.motion import features_to_joints
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3, MotionOptions, TextOptions, sequence_example
from motiongpt3_jax.systems.motiongpt3.build import build_config
from motiongpt3_jax.systems.motiongpt3.modules import Constrain
from motiongpt3_jax.text.tokenizer import END, SPECIALS

Features = Float[np.ndarray, "frames features"]
Joints = Float[np.ndarray, "frames joints 3"]

LONGEST = 196
"""Frames of the longest motion that is made at once, as in the data of the field."""

SHOWN = 60
"""Letters of a text that an error shows of it."""


@dataclass(frozen=True)
class Question:
    """What the model goes on from.

    Attributes:
      text: the whole prompt, holders and all; for a motion it ends with the holders of the motion to be made.
      clips: raw features of each motion that enters, in their order in the text.
    """

    text: str
    clips: tuple[Features, ...] = ()


@dataclass(frozen=True)
class Engine:
    """A model ready to answer.

    Attributes:
      system: the model's functions.
      variables: its arrays; the quickest have `system.unstacked` layers.
      folder: its tokenizer, body and config.
      trained: the stage and step that the arrays come from.
      compiled: programs by what they do; share it between engines of one model.
      phases: seconds spent in each phase, added up where a dictionary is given; each phase then waits for its end.
    """

    system: MotionGPT3
    variables: Variables = field(repr=False)
    folder: ModelFolder = field(repr=False)
    trained: tuple[str, int]
    compiled: dict[Any, Callable[..., Any]] = field(default_factory=dict, repr=False)
    phases: dict[str, float] | None = field(default=None, repr=False)
    _shares: dict[str, float] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, path: str | Path, which: Literal["last", "best"] = "last") -> "Engine":
        """The model in a run's folder as its newest stage left it, or an exported one: its folder, or its hub name.

        Raises:
          FileNotFoundError: the folder is no model's, or has no checkpoint yet.
          UserError: its weights do not fit its config, or are not all trained.
        """
        folder = read_folder(resolve_model(path))
        folder.require_trained()
        system = make_system(folder)
        stage, step, variables = read_variables(folder, system.config, which)
        return cls(system, jax.tree.map(jnp.asarray, system.unstacked(variables)), folder, (stage, step))

    @property
    def frames(self) -> tuple[int, int]:
        """Shortest and longest motion that is made at once."""
        return max(1, round(0.5 * self.folder.body.fps)), min(LONGEST, self.system.config.vae.max_frames)

    @property
    def usual(self) -> int:
        """Frames of the longest motion that the model was trained on and makes at once; longer ones come in windows."""
        lengths = self.folder.body.lengths
        trained = round(max(lengths)) if len(lengths) else self.folder.config["data"]["max_frames"]
        return max(min(trained, self.frames[1]), self.frames[0])

    @property
    def longest_read(self) -> int:
        """Frames of the longest clip that is read at once."""
        return min(self.usual, self.system.config.vae.longest_read)

    @property
    def programs(self) -> int:
        """How many programs were compiled so far."""
        return sum(run._cache_size() for run in list(self.compiled.values()))

    @property
    def sampler(self) -> str:
        """The sampler to take unless another is asked for; a rectified flow has this one alone."""
        return "euler" if self.system.config.flow else "dpm++"

    def move(
        self,
        questions: Sequence[Question | None],
        frames: Sequence[int],
        seeds: Sequence[int],
        options: MotionOptions = MotionOptions(),  # noqa: B008 (frozen)
        sample_clips: bool = False,
    ) -> list[Joints]:
        """Joints of one motion per question, in metres, from the origin and facing +z.

        Args:
          questions: each ends with the holders of its motion; None asks for any motion, under the null condition.
          frames: how long each motion is to be.
          seeds: of each motion.
          options: how to sample.
          sample_clips: draw the latents of the motions that enter, as officially, instead of taking their means.

        Raises:
          UserError: a number of frames or a seed is out of range, or a question is too long for the model.
        """
        low, high = 1, self.frames[1]
        for count in frames:
            if not low <= count <= high:
                raise UserError(f"{count} frames were asked for; this model makes {low} to {high} at once")
        check_seeds(seeds)
        asked = {i: self._example(i, question, motion=True) for i, question in enumerate(questions) if question}
        free = [i for i, question in enumerate(questions) if question is None]
        unguided = replace(options, guidance_scale=1.0)
        answers: list[tuple[list[int], Array]] = []
        for order, rows in self._groups(asked, frames):
            batch = self._batch([asked[i] for i in order], questions, rows)
            drawn = (filled([seeds[i] for i in order], rows),) if sample_clips else ()
            batch, latents = self._understood(batch, *drawn)
            found = self._run("text", "read", self.system.conditions, {}, batch, latents)
            answers.append((order, self._made(found, order, rows, frames, seeds, options)))
        for numbers, rows in chunks(len(free)):
            order = [free[n] for n in numbers]
            found = self._run("text", ("null", rows), self.system.null_conditions, {"rows": rows})
            answers.append((order, self._made(found, order, rows, frames, seeds, unguided)))
        joints: dict[int, Joints] = {}
        for order, found in answers:
            joints |= {i: places[: frames[i]] for i, places in zip(order, np.asarray(found))}
        return [joints[i] for i in range(len(questions))]

    def write(
        self,
        questions: Sequence[Question],
        options: TextOptions,
        seeds: Sequence[int] | None = None,
    ) -> list[list[int]]:
        """Ids that continue each question, without its end; `seeds` of each, where the options draw.

        Raises:
          UserError: a question is too long for the model.
        """
        check_seeds(seeds or ())
        asked = {i: self._example(i, question, spare=options.max_new) for i, question in enumerate(questions)}
        answers = []
        for order, rows in self._groups(asked, [0] * len(questions)):
            batch = self._batch([asked[i] for i in order], questions, rows)
            batch, latents = self._understood(batch)
            drawn = None if seeds is None else filled([seeds[i] for i in order], rows)
            fixed = {"options": options}
            found = self._run("text", ("write", options), self.system.respond_text, fixed, batch, latents, drawn)
            answers.append((order, found))
        texts: dict[int, list[int]] = {}
        for order, found in answers:
            texts |= {i: _ended(ids, options.end) for i, ids in zip(order, np.asarray(found).tolist())}
        return [texts[i] for i in range(len(questions))]

    def reconstruct(self, clips: Sequence[Features]) -> list[Joints]:
        """Joints of clips of raw features that went through the VAE and back."""
        body, limit = self.folder.body, self.system.config.vae.longest_read
        joints = []
        for order, rows in chunks(len(clips)):
            length = up(max(len(clips[i]) for i in order), FRAME_STEP, limit)
            features = np.zeros((rows, length, len(body.mean)), np.float32)
            for row, i in enumerate(order):
                features[row, : len(clips[i])] = (clips[i] - body.mean) / body.std
            lengths = filled([len(clips[i]) for i in order], rows)
            decoded = self._run("vae", "reconstruct", self.system.reconstruct, {}, features, lengths)
            places = features_to_joints(np.asarray(decoded) * body.std + body.mean, body.skeleton)
            joints += [places[row, : len(clips[i])] for row, i in enumerate(order)]
        return joints

    def useful_shares(self) -> dict[str, float]:
        """Shares of slots and frames that held something in the last batch."""
        return dict(self._shares)

    def _made(
        self,
        conditions: Array,
        order: Sequence[int],
        rows: int,
        frames: Sequence[int],
        seeds: Sequence[int],
        options: MotionOptions,
    ) -> Float[Array, "rows length joints 3"]:
        """Joints of the requests `order`, made from these conditions."""
        keys, lengths = (filled([values[i] for i in order], rows) for values in (seeds, frames))
        longest = up(int(lengths.max()), FRAME_STEP, self.frames[1])
        fixed = {"options": options}
        found = self._run("diffusion", ("sample", options), self.system.latents, fixed, conditions, keys)
        fixed = {"system": self.system, "body": self.folder.body, "length": longest}
        return self._run("vae", ("decode", longest), _joints, fixed, found, lengths)

    def _understood(self, batch: Batch, *seeds: Int[np.ndarray, "rows"]) -> tuple[Batch, Array | None]:
        """(the batch without its clips, their latents)."""
        if not batch.clips:
            return batch, None
        latents = self._run("vae", ("understand", bool(seeds)), self.system.understand, {}, batch, *seeds)
        return batch.replace(clips=()), latents

    def _example(self, number: int, question: Question, motion: bool = False, spare: int = 0) -> Example:
        """A question as slots. Of one that asks for a motion, what lies behind the last holder is left out."""
        tokenizer = self.folder.tokenizer
        ids = np.asarray(tokenizer.encode(question.text), np.int32)
        if motion:
            ids = ids[: np.flatnonzero(ids == tokenizer.output_holder)[-1] + 1]
        most = self.system.config.decoder.max_positions - spare
        if most < 1:
            raise UserError(f"{spare} new tokens were asked for; this model reads and writes {most + spare} in all")
        if len(ids) > most:
            room = f"{most} where {spare} are written: ask for fewer, or" if spare else f"{most}:"
            raise UserError(
                f"{_shown(question.text)} takes {len(ids)} tokens with what stands around it; this model reads up to "
                f"{room} shorten it"
            )
        ends = np.cumsum([0, *(len(clip) for clip in question.clips)]).tolist()
        everything = np.ones(len(ids), bool)
        interleave = self.folder.config["layout"]["interleave"]
        clips = tuple(pairwise(ends))
        example = sequence_example(
            number, ids, everything, everything, tokenizer, clips, inputs=len(clips), interleave=interleave
        )
        return replace(example, outputs=example.outputs[-1:] if motion else ())

    def _groups(self, examples: Mapping[int, Example], frames: Sequence[int]) -> list[tuple[list[int], int]]:
        """(requests, rows) of every batch: those with clips apart, and like lengths together."""

        def size(i: int) -> tuple[int, int]:
            return up(frames[i], FRAME_STEP), len(examples[i].streams["text"].ids)

        groups = []
        for clips in sorted({len(example.clips) for example in examples.values()}):
            own = sorted((i for i, example in examples.items() if len(example.clips) == clips), key=size)
            groups += [([own[n] for n in numbers], rows) for numbers, rows in chunks(len(own))]
        return groups

    def _batch(self, examples: Sequence[Example], questions: Sequence[Question | None], rows: int) -> Batch:
        """One request a row, sizes rounded up; rows beyond the requests repeat the first."""
        body = self.folder.body
        own = {
            e.number: (np.concatenate(questions[e.number].clips) - body.mean) / body.std for e in examples if e.clips
        }
        text = max(len(e.streams["text"].ids) for e in examples)
        motion = max(len(e.streams["motion"].ids) for e in examples)
        buckets = ()
        if examples[0].clips:
            longest = max(stop - start for e in examples for start, stop in e.clips)
            limit = self.longest_read if longest <= self.longest_read else self.system.config.vae.longest_read
            buckets = ((up(longest, FRAME_STEP, limit), len(examples[0].clips)),)
        shape = RowShape(slots=(("text", slots(text)), ("motion", motion)), clips=buckets, outputs=1, samples=1)
        padded = [*examples, *[examples[0]] * (rows - len(examples))]
        batch = build([[example] for example in padded], own.__getitem__, shape, len(body.mean))
        self._shares.update({name: share for name, share in useful(batch).items() if name.endswith("_used")})
        return batch

    def _run(self, phase: str, key: Any, function: Callable[..., Any], fixed: dict[str, Any], *args: Any) -> Any:
        if key not in self.compiled:
            self.compiled[key] = jax.jit(partial(function, **fixed))
        if self.phases is None:
            return self.compiled[key](self.variables, *args)
        began = time.perf_counter()
        found = jax.block_until_ready(self.compiled[key](self.variables, *args))
        self.phases[phase] = self.phases.get(phase, 0.0) + time.perf_counter() - began
        return found


def make_system(folder: ModelFolder, constrain: Constrain | None = None) -> MotionGPT3:
    """The system that a folder's config describes.

    Raises:
      UserError: the config names a system that there is not.
    """
    name = folder.config["system"]
    if name != "motiongpt3":
        raise UserError(f"{folder.path}: unknown system {name!r}; there is motiongpt3")
    sizes = {"features": len(folder.body.mean), "vocabulary": folder.tokenizer.base_vocabulary}
    return MotionGPT3(build_config(folder.config["model"], **sizes), constrain)


def check_seeds(seeds: Sequence[int]) -> None:
    """Raises UserError when a seed is none that JAX takes."""
    for seed in seeds:
        if not isinstance(seed, Integral) or not 0 <= seed < 2**31:
            raise UserError(f"seed {seed}: give whole numbers from 0 to {2**31 - 1}")


def _joints(
    variables: Variables,
    latents: Array,
    frames: Int[Array, "rows"],
    *,
    system: MotionGPT3,
    body: Body,
    length: int,
) -> Float[Array, "rows length joints 3"]:
    features = system.features(variables, latents, frames, length)
    return features_to_joints(features * body.std + body.mean, body.skeleton)


def _shown(text: str) -> str:
    """The beginning of a long question, without the places of motions."""
    for token in (END, *SPECIALS):
        text = text.replace(token, "")
    return f"the sentence '{text.strip()[:SHOWN]}...'" if text.strip() else "the motion"


def _ended(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end)] if end in ids else ids
