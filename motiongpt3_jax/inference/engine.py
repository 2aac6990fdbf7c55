"""A model loaded once: sentences to motions, motions to sentences.

Requests share a few compiled shapes: text slots, rows and frames are rounded up to the next size of a short list. A
request's result depends on its own seed alone, not on its batch mates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from motiongpt3_jax.batch import Batch, Example
from motiongpt3_jax.data_pipelines.packing import RowShape, build, useful
from motiongpt3_jax.inference.folder import ModelFolder, read_folder, resolve_model
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.motion import Motion, canonicalise, features_to_joints, joints_to_features, resampled
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3, MotionOptions, TextOptions, sequence_example
from motiongpt3_jax.systems.motiongpt3.build import build_config
from motiongpt3_jax.systems.motiongpt3.modules import Constrain
from motiongpt3_jax.text import MOTION_OUTPUT, Style, caption_prompt, compose, motion_prompt

ROWS = (1, 4, 16, 64)
"""Requests that are answered at once; more are cut into the largest."""

SLOT_STEP = 32
FRAME_STEP = 32


@dataclass(frozen=True)
class Engine:
    """A model ready to answer.

    Attributes:
      system: the model's functions.
      variables: its arrays.
      folder: its tokenizer, body and config.
      trained: the stage and step that the arrays come from.
      compiled: programs by what they do; share it between engines of one model.
    """

    system: MotionGPT3
    variables: Variables
    folder: ModelFolder
    trained: tuple[str, int]
    compiled: dict[Any, Callable[..., Any]] = field(default_factory=dict, repr=False)
    _shares: dict[str, float] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, path: str | Path, which: Literal["last", "best"] = "last") -> "Engine":
        """The model in a run's folder as its newest stage left it, or an exported one: its folder, or its hub name.

        Raises:
          FileNotFoundError: the folder is no model's, or has no checkpoint yet.
          ValueError: its weights do not fit its config, or are not all trained.
        """
        folder = read_folder(resolve_model(path))
        folder.require_trained()
        system = make_system(folder)
        stage, step, variables = read_variables(folder, system.config, which)
        return cls(system, jax.tree.map(jnp.asarray, variables), folder, (stage, step))

    @property
    def frames(self) -> tuple[int, int]:
        """Shortest and longest motion that can be asked for."""
        return max(1, round(0.5 * self.folder.body.fps)), min(196, self.system.config.vae.max_frames)

    @property
    def sampler(self) -> str:
        """The sampler to take unless another is asked for; a rectified flow has this one alone."""
        return "euler" if self.system.config.flow else "dpm++"

    def generate(
        self,
        sentences: Sequence[str],
        frames: Sequence[int],
        seeds: Sequence[int],
        options: MotionOptions = MotionOptions(),  # noqa: B008 (frozen)
        style: Style = "train",
    ) -> list[Float[np.ndarray, "frames joints 3"]]:
        """Joints of one motion per sentence, in metres, from the origin and facing +z.

        Raises:
          ValueError: a number of frames is out of range.
        """
        low, high = self.frames
        for count in frames:
            if not low <= count <= high:
                raise ValueError(f"{count} frames were asked for; this model makes {low} to {high}")
        question = partial(motion_prompt, style=style)
        examples = [self._example(n, compose(question(text), MOTION_OUTPUT)) for n, text in enumerate(sentences)]
        motions = []
        for chunk in _chunks(len(sentences)):
            longest = _up(max(frames[i] for i in chunk), FRAME_STEP, self.system.config.vae.max_frames)
            batch = self._batch([examples[i] for i in chunk])
            rows = len(batch.samples)
            run = self._jit(("motion", longest, options), self.system.respond_motion, length=longest, options=options)
            features = run(
                self.variables,
                batch,
                seeds=_filled([seeds[i] for i in chunk], rows),
                frames=_filled([frames[i] for i in chunk], rows),
            )
            raw = np.asarray(features) * self.folder.body.std + self.folder.body.mean
            joints = features_to_joints(raw, self.folder.body.skeleton)
            motions += [joints[row, : frames[i]] for row, i in enumerate(chunk)]
        return motions

    def caption(
        self,
        clips: Sequence[Float[np.ndarray, "frames features"]],
        max_new: int = 40,
        style: Style = "train",
    ) -> list[str]:
        """A sentence for each clip of raw features; see `features_of`.

        Raises:
          ValueError: a clip is longer than the model reads.
        """
        limit = self.system.config.vae.longest_read
        for clip in clips:
            if len(clip) > limit:
                raise ValueError(f"a motion has {len(clip)} frames; this model reads up to {limit} at once")
        tokenizer = self.folder.tokenizer
        options = TextOptions(
            end=tokenizer.end, banned=(tokenizer.start_of_motion, tokenizer.end_of_motion), max_new=max_new
        )
        examples = [
            self._example(n, caption_prompt(len(clip), style=style), clips=((0, len(clip)),))
            for n, clip in enumerate(clips)
        ]
        sentences = []
        for chunk in _chunks(len(clips)):
            batch = self._batch([examples[i] for i in chunk], clips)
            run = self._jit(("text", options), self.system.respond_text, options=options)
            tokens = np.asarray(run(self.variables, batch))
            sentences += [self._sentence(tokens[row]) for row in range(len(chunk))]
        return sentences

    def reconstruct(
        self, clips: Sequence[Float[np.ndarray, "frames features"]]
    ) -> list[Float[np.ndarray, "frames joints 3"]]:
        """Joints of clips of raw features that went through the VAE and back."""
        body, limit = self.folder.body, self.system.config.vae.longest_read
        joints = []
        for chunk in _chunks(len(clips)):
            rows = next(size for size in ROWS if size >= len(chunk))
            length = _up(max(len(clips[i]) for i in chunk), FRAME_STEP, limit)
            features = np.zeros((rows, length, len(body.mean)), np.float32)
            for row, i in enumerate(chunk):
                features[row, : len(clips[i])] = (clips[i] - body.mean) / body.std
            run = self._jit("reconstruct", self.system.reconstruct)
            decoded = run(self.variables, features, _filled([len(clips[i]) for i in chunk], rows))
            places = features_to_joints(np.asarray(decoded) * body.std + body.mean, body.skeleton)
            joints += [places[row, : len(clips[i])] for row, i in enumerate(chunk)]
        return joints

    def useful_shares(self) -> dict[str, float]:
        """Shares of slots and frames that held something in the last batch."""
        return dict(self._shares)

    def features_of(self, motion: Motion) -> Float[np.ndarray, "frames features"]:
        """Raw features of a motion's first person, by the model's own body and at its frame rate.

        Raises:
          ValueError: the motion has another skeleton.
        """
        body = self.folder.body
        if motion.skeleton.name != body.skeleton.name:
            raise ValueError(
                f"the motion has the {motion.skeleton.name} skeleton; this model's is {body.skeleton.name}"
            )
        joints = resampled(motion, body.fps).joints[0]
        return joints_to_features(canonicalise(joints, body.skeleton, body.offsets), body.skeleton)

    def _sentence(self, tokens: np.ndarray) -> str:
        ends = np.flatnonzero(tokens == self.folder.tokenizer.end)
        text = self.folder.tokenizer.decode(tokens[: ends[0]] if len(ends) else tokens)
        return text.replace("\n", " ").strip().strip('"').strip()

    def _example(self, number: int, text: str, clips: tuple[tuple[int, int], ...] = ()) -> Example:
        ids = np.asarray(self.folder.tokenizer.encode(text), np.int32)
        everything = np.ones(len(ids), bool)
        return sequence_example(number, ids, everything, everything, self.folder.tokenizer, clips, inputs=len(clips))

    def _batch(self, examples: Sequence[Example], clips: Sequence[np.ndarray] = ()) -> Batch:
        """One request a row, sizes rounded up; rows beyond the requests repeat the first."""
        body = self.folder.body
        rows = next(size for size in ROWS if size >= len(examples))
        examples = [*examples, *[examples[0]] * (rows - len(examples))]
        text = max(len(e.streams["text"].ids) for e in examples)
        motion = max(len(e.streams["motion"].ids) for e in examples)
        buckets = ()
        if examples[0].clips:
            longest = max(stop for e in examples for _, stop in e.clips)
            buckets = ((_up(longest, FRAME_STEP, self.system.config.vae.longest_read), 1),)
        shape = RowShape(
            slots=(("text", _up(text, SLOT_STEP)), ("motion", motion)), clips=buckets, outputs=1, samples=1
        )
        batch = build([[e] for e in examples], lambda n: (clips[n] - body.mean) / body.std, shape, len(body.mean))
        self._shares.update({name: share for name, share in useful(batch).items() if name.endswith("_used")})
        return batch

    def _jit(self, key: Any, function: Callable[..., Any], **fixed: Any) -> Callable[..., Any]:
        if key not in self.compiled:
            self.compiled[key] = jax.jit(partial(function, **fixed))
        return self.compiled[key]


def make_system(folder: ModelFolder, constrain: Constrain | None = None) -> MotionGPT3:
    """The system that a folder's config describes.

    Raises:
      ValueError: the config names a system that there is not.
    """
    name = folder.config["system"]
    if name != "motiongpt3":
        raise ValueError(f"{folder.path}: unknown system {name!r}; there is motiongpt3")
    sizes = {"features": len(folder.body.mean), "vocabulary": folder.tokenizer.base_vocabulary}
    return MotionGPT3(build_config(folder.config["model"], **sizes), constrain)


def _chunks(count: int) -> list[range]:
    return [range(first, min(first + ROWS[-1], count)) for first in range(0, count, ROWS[-1])]


def _up(size: int, step: int, limit: int | None = None) -> int:
    rounded = -(-size // step) * step
    return rounded if limit is None else min(rounded, limit)


def _filled(values: Sequence[int], rows: int) -> np.ndarray:
    return np.array([*values, *[values[0]] * (rows - len(values))], np.int32)
