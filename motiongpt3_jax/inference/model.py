"""The Python API of a loaded model: text to motion, captioning, prediction and in-betweening."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from jax.sharding import Mesh

from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference import continuation
from motiongpt3_jax.inference.captions import caption_clips, caption_in_time
from motiongpt3_jax.inference.clips import convert_to_model, name_motion
from motiongpt3_jax.inference.continuation import Joined
from motiongpt3_jax.inference.engine import Engine, check_seeds
from motiongpt3_jax.inference.lengths import (
    LONGEST_SECONDS,
    Length,
    check_length_choosable,
    count_frames,
    predict_lengths,
)
from motiongpt3_jax.inference.long_motions import choose_windows, frame_limits, generate_in_windows
from motiongpt3_jax.inference.notes import note_task, note_words
from motiongpt3_jax.inference.pairs import caption_pairs, generate_pairs, react
from motiongpt3_jax.inference.prompts import Prompts
from motiongpt3_jax.inference.protocol import official_answers
from motiongpt3_jax.inference.windows import Windows
from motiongpt3_jax.motion import Motion, Skeleton, load_motion
from motiongpt3_jax.systems.interface import Features, Question
from motiongpt3_jax.text import check_words
from motiongpt3_jax.text.tasks import Role, of_role


@dataclass(frozen=True)
class Model:
    """A loaded model: `motiongpt3_jax.load("runs/demo")`.

    Attributes:
      engine: its programs.
      prompts: how it is asked.
    """

    engine: Engine
    prompts: Prompts = field(repr=False)

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        which: Literal["last", "best"] = "last",
        mesh: Mesh | Mapping[str, int] | None = None,
    ) -> "Model":
        """The model in a run's or an exported model's folder, or on the Hugging Face hub.

        Args:
          name_or_path: where it lies.
          which: the last checkpoint of a run, or the one with the best validation.
          mesh: devices that its parameters and requests are split over, such as {"data": 2, "tensor": 4}; None for one.

        Raises:
          FileNotFoundError: there is none.
          UserError: its files do not fit together, or it is not trained yet; or there are no such devices.
        """
        engine = Engine.load(name_or_path, which, mesh)
        return cls(engine, Prompts.of(engine.folder, engine.trained[0]))

    @property
    def fps(self) -> float:
        """Frames in a second of what it makes."""
        return self.engine.folder.statistics.fps

    @property
    def frames(self) -> tuple[int, int]:
        """Shortest and longest motion that can be asked for."""
        return frame_limits(self.engine)

    @property
    def skeleton(self) -> Skeleton:
        """The joints of what it makes."""
        return self.engine.folder.statistics.skeleton

    def motion_options(self, **sampling: Any) -> Any:
        """How motions are sampled: a dataclass of the model's system, such as MotionGPT3's `MotionOptions`.

        Raises:
          UserError: there is no such option, or it has no such value.
        """
        return self.engine.answers.motion_options(**sampling)

    def text_options(self, **decoding: Any) -> Any:
        """How text is decoded, see `TextOptions`; by default no motion is begun in it.

        Raises:
          UserError: there is no such option, or it has no such value.
        """
        return self.engine.answers.text_options(**decoding)

    @overload
    def generate(self, sentences: str, seconds: float | None = None, **more: Any) -> Motion: ...
    @overload
    def generate(self, sentences: Sequence[str], seconds: float | None = None, **more: Any) -> list[Motion]: ...

    def generate(
        self,
        sentences: str | Sequence[str],
        seconds: float | None = None,
        *,
        frames: int | Sequence[int] | None = None,
        seed: int = 0,
        style: str = "train",
        persons: int | None = None,
        **sampling: Any,
    ) -> Motion | list[Motion]:
        """A motion for each sentence, from the origin and facing +z; "" is a motion of no sentence.

        Warns with a `Note` of words that the model never saw. In the style "train" sentences are written as its
        captions are, see `written`.

        Args:
          sentences: one, or several.
          seconds: how long each is to be, 0.5 to 60; None lets `lengths` say. A model that ends its motions itself
            takes no other.
          frames: the same at the model's frame rate, of all or of each.
          seed: of the first motion; the next has the next one.
          style: how the model is asked.
          persons: how many move in each, 1 or 2; None for as many as the model makes.
          **sampling: see `motion_options`.

        Raises:
          UserError: a length is out of range, or a sentence holds a special token; or the model makes no two people.
        """
        one = isinstance(sentences, str)
        sentences = _strings([sentences] if one else sentences)
        seeds = [seed + n for n in range(len(sentences))]
        check_seeds(seeds)
        counts = self._counts(sentences, seconds, frames, seed)
        options = self.motion_options(**sampling)
        if (self.engine.answers.capabilities.persons if persons is None else persons) > 1:
            written = [self.written(sentence) if style == "train" else sentence for sentence in sentences]
            note_words(self.engine.folder, sentences)
            pairs = generate_pairs(self.engine, self.prompts, written, counts, seeds, options, style)
            return pairs[0] if one else pairs
        self._note_alone("generate")
        windows = [self.windows(count) for count in counts]
        questions = [self._question(*request, style) for request in zip(sentences, seeds, counts)]
        note_words(self.engine.folder, sentences)
        joints = generate_in_windows(self.engine, questions, counts, windows, seeds, options)
        motions = [Motion(np.asarray(person, np.float32)[None], self.fps, self.skeleton) for person in joints]
        return motions[0] if one else motions

    def unknown_words(self, sentence: str) -> list[str]:
        """The words of a sentence that no caption and no instruction of the training has; none where nobody knows."""
        words = self.engine.folder.words
        return words.unknown(sentence) if words else []

    def written(self, sentence: str) -> str:
        """A sentence as the captions of the training are written: "Jump!!!" is "jump", where none has such signs.

        Raises:
          UserError: the sentence holds a special token, or bytes that are no text.
        """
        check_words(sentence)
        words = self.engine.folder.words
        return words.rewrite(sentence) if words else sentence

    def lengths(self, sentences: str | Sequence[str], seconds: float | None = None, seed: int = 0) -> list[Length]:
        """How long the motion of each sentence is to be, and who says so; always a list.

        Raises:
          UserError: `seconds` is out of range.
        """
        sentences = _strings([sentences] if isinstance(sentences, str) else sentences)
        capabilities = self.engine.answers.capabilities
        if seconds is not None:
            check_length_choosable(capabilities, f"{seconds:g} s were")
        if seconds is None and capabilities.ends_motions:
            return [Length(0, "model")] * len(sentences)
        if seconds is None:
            written = [self.written(sentence) for sentence in sentences]
            return predict_lengths(self.engine, self.prompts, written, [seed + n for n in range(len(sentences))])
        low, high = (count / self.fps for count in self.frames)
        if not low <= seconds <= high:
            raise UserError(f"{seconds:g} s were asked for; this model makes {low:g} to {high:g} s")
        return [Length(round(seconds * self.fps), "asked")] * len(sentences)

    @overload
    def caption(self, motions: Motion | str | Path, **more: Any) -> str: ...
    @overload
    def caption(self, motions: Sequence[Motion | str | Path], **more: Any) -> list[str]: ...

    def caption(
        self,
        motions: Motion | str | Path | Sequence[Motion | str | Path],
        *,
        seed: int = 0,
        style: str = "train",
        **decoding: Any,
    ) -> str | list[str]:
        """A sentence for each motion, or motion file; of a long motion one after the other.

        A model of two people tells of both, where there are two; else it is the first person's.

        Args:
          motions: one, or several.
          seed: of the first sentence, where `decoding` draws; the next has the next one.
          style: how the model is asked.
          **decoding: see `text_options`.

        Raises:
          UserError: a motion has a single frame.
        """
        if isinstance(motions, Motion | str | Path):
            return self.caption([motions], seed=seed, style=style, **decoding)[0]
        captions = self.captions_in_time(motions, seed=seed, style=style, **decoding)
        return [" ".join(dict.fromkeys(sentence for _, _, sentence in parts)) for parts in captions]

    def captions_in_time(
        self,
        motions: Sequence[Motion | str | Path],
        *,
        seed: int = 0,
        style: str = "train",
        **decoding: Any,
    ) -> list[list[tuple[float, float, str]]]:
        """(beginning, end, sentence) of every part of each motion, in seconds; one part where the model reads it all.

        Arguments and errors are those of `caption`.
        """
        read = [(name_motion(motion, "the motion"), self.read(motion)) for motion in motions]
        if any(motion.persons < 2 for _, motion in read):
            self._note_alone("caption")
        return caption_in_time(self.engine, self.prompts, read, seed, self.text_options(**decoding), style)

    def caption_features(
        self,
        clips: Sequence[Features],
        seeds: Sequence[int] | None = None,
        style: str = "train",
        **decoding: Any,
    ) -> list[str]:
        """A sentence for each clip of raw features.

        Raises:
          UserError: a clip is longer than the model reads at once.
        """
        return caption_clips(self.engine, self.prompts, clips, seeds, self.text_options(**decoding), style)

    def caption_pairs(
        self, clips: Sequence[Clip], seeds: Sequence[int] | None = None, style: str = "train", **decoding: Any
    ) -> list[str]:
        """A sentence for each clip of two people, see `data_pipelines.pairs.pair_clip`.

        Raises:
          UserError: the model knows one person alone, or a clip is longer than it reads at once.
        """
        return caption_pairs(self.engine, self.prompts, clips, seeds, self.text_options(**decoding), style)

    def react(self, motion: Motion | str | Path, sentence: str = "", *, seed: int = 0, **sampling: Any) -> Motion:
        """A motion's first person, as it is, and another one's reaction to it in the same world.

        Args:
          motion: of the given person, or its file.
          sentence: about both, in which the given one is "the first person"; "" says nothing.
          seed: decides the reaction.
          **sampling: see `motion_options`.

        Raises:
          UserError: the model knows one person alone, or the motion is longer than it makes at once.
        """
        options, written = self.motion_options(**sampling), self.written(sentence) if sentence.strip() else ""
        note_words(self.engine.folder, [sentence])
        return react(self.engine, self.prompts, self.read(motion), written, seed, options)

    def predict(
        self,
        motion: Motion | str | Path,
        seconds: float | None = None,
        *,
        frames: int | None = None,
        seed: int = 0,
        **sampling: Any,
    ) -> Joined:
        """The motion and what may come after it; the given frames stay as they are, to the bit.

        Args:
          motion: what is given, or its file; at least half a second. The result has its frame rate, place and size,
            and the joints of the model's skeleton.
          seconds: length of the result, the given part included; up to 60.
          frames: the same in frames of the motion's own rate.
          seed: decides what comes.
          **sampling: see `motion_options`.

        Raises:
          UserError: too little is given, or nothing or too much is to be added.
        """
        motion = self.read(motion)
        count = count_frames(motion.fps, seconds, frames)
        options = self.motion_options(**sampling)
        self._note_task("predict")
        return continuation.predict(self.engine, self.prompts, motion, count, seed, options)

    def inbetween(
        self,
        start: Motion | str | Path,
        end: Motion | str | Path,
        seconds: float | None = None,
        *,
        frames: int | None = None,
        move_end: bool = False,
        seed: int = 0,
        **sampling: Any,
    ) -> Joined:
        """The two motions and what may lie between them; given frames that are not moved stay as they are, to the bit.

        Args:
          start: the beginning, or its file, at least half a second.
          end: the end, likewise, of the same body at the same frame rate.
          seconds: length of the part between them.
          frames: the same in frames of the motions' own rate.
          move_end: bring the end as a whole to where the way leads, by its first person; else it is met where it is.
          seed: decides what lies between.
          **sampling: see `motion_options`.

        Raises:
          UserError: as for `predict`, or the two do not go together.
        """
        start, end = self.read(start), self.read(end)
        seconds_read = (start.frames + end.frames) / start.fps
        between = count_frames(start.fps, seconds, frames, LONGEST_SECONDS - seconds_read)
        options = self.motion_options(**sampling)
        self._note_task("inbetween")
        return continuation.inbetween(self.engine, self.prompts, start, end, between, seed, options, move_end)

    def official(
        self,
        task: Literal["predict", "inbetween"],
        motions: Sequence[Motion | str | Path],
        *,
        seed: int = 0,
        **sampling: Any,
    ) -> list[Motion]:
        """Each motion's first person as the official evaluation predicts or fills it; see `inference.protocol`.

        Raises:
          UserError: a motion is longer than the model makes at once.
        """
        if task not in ("predict", "inbetween"):
            raise UserError(f"there is no official task {task!r} here; there are predict and inbetween")
        read = [self.read(motion) for motion in motions]
        seeds, options = [seed + n for n in range(len(read))], self.motion_options(**sampling)
        self._note_task(task)
        return official_answers(self.engine, self.prompts, task, read, seeds, options)

    def warm_up(self, requests: Sequence[int] = (1,), seconds: Sequence[float] = (), **sampling: Any) -> int:
        """Compiles what such numbers of requests and lengths of motions need; returns how many programs that made.

        Args:
          requests: numbers of sentences or motions that will come at once.
          seconds: lengths that will be asked for; by default the longest that is made at once.
          **sampling: see `motion_options`; other options make other programs.
        """
        before = self.engine.programs
        lengths: list[int | None] = [round(length * self.fps) for length in seconds]
        if not lengths:
            capabilities = self.engine.answers.capabilities
            lengths = [None if capabilities.ends_motions else self.engine.frames[1]]
        for count in requests:
            for frames in lengths:
                motions = self.generate(["a person walks"] * count, frames=frames, **sampling)
                if of_role(self.prompts.tasks, "caption"):
                    self.caption(motions)
        return self.engine.programs - before

    def read(self, motion: Motion | str | Path) -> Motion:
        """A motion, or that of a file, in the joints of the model's skeleton.

        Features that are normalised become raw by this model's statistics.

        Raises:
          FileNotFoundError: there is no such file.
          UserError: the file holds something else.
        """
        if not isinstance(motion, Motion | str | Path):
            raise UserError(f"a motion is of type {type(motion).__name__}; give a file, or Motion(joints, fps)")
        statistics = self.engine.folder.statistics
        if not isinstance(motion, Motion):
            motion = load_motion(motion, statistics=(statistics.mean, statistics.std))
        return convert_to_model(motion, statistics)[0]

    def _note_task(self, role: Role) -> None:
        task = self.prompts.of_role(role).name
        note_task(self.prompts.knows(task), task)

    def _note_alone(self, role: Role) -> None:
        """Notes that a model of two people was not taught one alone."""
        if self.engine.answers.capabilities.persons > 1:
            self._note_task(role)

    def _question(self, sentence: str, seed: int, frames: int, style: str) -> Question:
        if not sentence.strip():
            return Question(self.prompts.unconditional_question())
        # The official styles take it as it is.
        sentence = self.written(sentence) if style == "train" else sentence
        return Question(self.prompts.motion_question(sentence, style, seed, frames))

    def _counts(
        self, sentences: Sequence[str], seconds: float | None, frames: int | Sequence[int] | None, seed: int
    ) -> list[int]:
        """Frames of each motion."""
        if frames is None:
            return [length.frames for length in self.lengths(sentences, seconds, seed)]
        if seconds is not None:
            raise UserError("say how long motions are to be either in seconds or in frames, not in both")
        check_length_choosable(self.engine.answers.capabilities, f"{frames} frames were")
        counts = [frames] * len(sentences) if np.ndim(frames) == 0 else list(frames)
        if not all(isinstance(count, Integral) for count in counts):
            raise UserError(f"frames are {frames!r}; give a whole number, or one for each sentence")
        if len(counts) != len(sentences):
            raise UserError(f"{len(counts)} lengths were given for {len(sentences)} sentences")
        return counts

    def windows(self, frames: int) -> Windows:
        """How a motion of so many frames is made.

        Raises:
          UserError: it is longer or shorter than can be asked for.
        """
        return choose_windows(self.engine, frames)


def _strings(sentences: Iterable[str]) -> list[str]:
    texts = list(sentences)
    for sentence in texts:
        if not isinstance(sentence, str):
            raise UserError(f"a sentence is {sentence!r}; give text")
    return texts
