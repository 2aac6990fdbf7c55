"""Batched inference with compiled programs that are reused: questions to motions and to texts, many at once.

Requests of different tasks and lengths are padded to a few compiled shapes: rows, slots and frames are rounded up to
the next of a short list. A request's result depends on its own question and seed alone, not on its batch mates. What an
answer consists of, its system says in phases; here they are batched, compiled, run and timed.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from motiongpt3_jax.batch import Batch, Example, Places, RowShape
from motiongpt3_jax.data_pipelines.packing import build, useful
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.folder import ModelFolder, MotionStatistics, read_folder, resolve_model
from motiongpt3_jax.inference.on_mesh import on_mesh, open_mesh, put_variables
from motiongpt3_jax.inference.packed_questions import one_a_row, pack_questions, places_of
from motiongpt3_jax.inference.shapes import FRAME_STEP, pad_to_rows, round_up, split_into_batches
from motiongpt3_jax.inference.weights import open_variables
from motiongpt3_jax.models.constrain import Constrain
from motiongpt3_jax.motion import features_to_joints
from motiongpt3_jax.motion.place_codes import decode_places
from motiongpt3_jax.parallel import constrain
from motiongpt3_jax.systems.interface import Answers, Features, Makes, Phase, Question, System, Text, Variables

Joints = Float[np.ndarray, "frames joints 3"]

RESULTS = ("frames", "tokens")
"""Values of an answer that say how much was made."""

ANSWERED = ("joints", "frames", "tokens", "place_codes", "times")
"""Values of an answer that somebody may ask for."""


class MadePair(NamedTuple):
    """Two people, or a second one to one who is given.

    Attributes:
      joints: of each, from the origin and facing +z.
      places: of the second in the frame of the first, in frame 0 and, of a model that says so, once a second.
    """

    joints: Float[np.ndarray, "persons frames joints 3"]
    places: Float[np.ndarray, "times 3"]


@dataclass(frozen=True)
class Engine:
    """A model ready to answer.

    Attributes:
      system: the model's functions.
      answers: how it is asked.
      variables: its arrays; the quickest are those of `answers.prepare`.
      folder: its tokenizer, statistics and config.
      trained: the stage and step that the arrays come from.
      mesh: the devices that the arrays are split over; None for one.
      compiled: programs by what they do; share it between engines of one model.
      phases: seconds spent in each phase, added up where a dictionary is given; each phase then waits for its end.
      flops: of the phases of each batch then, as its system counts them.
    """

    system: System
    answers: Answers
    variables: Variables = field(repr=False)
    folder: ModelFolder = field(repr=False)
    trained: tuple[str, int]
    mesh: Mesh | None = None
    compiled: dict[Any, Callable[..., Any]] = field(default_factory=dict, repr=False)
    phases: dict[str, float] | None = field(default=None, repr=False)
    flops: list[Mapping[str, float]] = field(default_factory=list, repr=False)
    _shares: dict[str, float] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        folder: ModelFolder,
        variables: Variables,
        trained: tuple[str, int],
        compiled: dict[Any, Callable[..., Any]] | None = None,
        mesh: Mesh | None = None,
    ) -> "Engine":
        """The model of a folder with these arrays, as they are."""
        system = make_system(folder, constrain if mesh is not None and mesh.size > 1 else None)
        answers = folder.kind.make_answers(folder.spec, system)
        return cls(system, answers, variables, folder, trained, mesh, {} if compiled is None else compiled)

    @classmethod
    def load(
        cls, path: str | Path, which: Literal["last", "best"] = "last", mesh: Mesh | Mapping[str, int] | None = None
    ) -> "Engine":
        """The model in a run's folder as its newest stage left it, or an exported one: its folder, or its hub name.

        Args:
          path: where it lies.
          which: the last checkpoint of a run, or the one with the best validation.
          mesh: devices of this process that parameters and requests are split over, see `open_mesh`.

        Raises:
          FileNotFoundError: the folder is no model's, or has no checkpoint yet.
          UserError: its weights do not fit its config, or are not all trained; or the mesh fits no devices or heads.
        """
        folder = read_folder(resolve_model(path))
        folder.require_trained()
        mesh = open_mesh(mesh, folder)
        stage, step, variables = open_variables(folder, which)
        engine = cls.of(folder, variables, (stage, step), mesh=mesh)
        return replace(engine, variables=place_variables(engine, variables))

    @property
    def frames(self) -> tuple[int, int]:
        """Shortest and longest motion that is made at once."""
        return max(1, round(0.5 * self.folder.statistics.fps)), self.answers.capabilities.longest_made

    @property
    def window_length(self) -> int:
        """Frames of the longest motion that the model was trained on and makes at once; longer ones come in windows."""
        lengths = self.folder.statistics.lengths
        trained = round(max(lengths)) if len(lengths) else self.folder.config["data"]["max_frames"]
        return max(min(trained, self.frames[1]), self.frames[0])

    @property
    def longest_read(self) -> int:
        """Frames of the longest clip that is read at once."""
        return min(self.window_length, self.answers.capabilities.longest_read)

    @property
    def programs(self) -> int:
        """How many programs were compiled so far."""
        return sum(run._cache_size() for run in list(self.compiled.values()))

    def generate_motions(
        self,
        questions: Sequence[Question],
        frames: Sequence[int],
        seeds: Sequence[int],
        options: Any = None,
    ) -> list[Joints]:
        """Joints of one motion per question, in metres, from the origin and facing +z.

        Args:
          questions: what each motion goes on from.
          frames: how long each motion is to be; 0 lets a model decide that ends its motions itself.
          seeds: of each motion.
          options: how to sample, see `Answers.motion_options`.

        Raises:
          UserError: a number of frames or a seed is out of range, or a question is too long for the model.
        """
        self._check_frames(frames)
        options = self.answers.motion_options() if options is None else options
        motions: dict[int, Joints] = {}
        for order, values in self._answer("motion", questions, frames, seeds, options):
            joints, lengths = np.asarray(values["joints"]), np.asarray(values["frames"])
            motions |= {i: joints[row, : lengths[row]] for row, i in enumerate(order)}
        return [motions[i] for i in range(len(questions))]

    def generate_pairs(
        self, questions: Sequence[Question], frames: Sequence[int], seeds: Sequence[int], options: Any = None
    ) -> list[MadePair]:
        """Two people per question, or the second one alone where the first is given.

        Arguments and errors are those of `generate_motions`, of a model of two people.
        """
        self._check_frames(frames)
        options = self.answers.motion_options() if options is None else options
        pairs: dict[int, MadePair] = {}
        for order, values in self._answer("pair", questions, frames, seeds, options):
            joints, places = np.asarray(values["joints"]), decode_places(np.asarray(values["place_codes"]))
            for row, i in enumerate(order):
                count, times = int(values["frames"][row]), int(values["times"][row])
                pairs[i] = MadePair(joints[row, :, :count], places[row, :times])
        return [pairs[i] for i in range(len(questions))]

    def _check_frames(self, frames: Sequence[int]) -> None:
        low, high = int(not self.answers.capabilities.ends_motions), self.frames[1]
        for count in frames:
            if not low <= count <= high:
                raise UserError(f"{count} frames were asked for; this model makes {low} to {high} at once")

    def generate_joined(
        self, questions: Sequence[Question], frames: Sequence[int], seeds: Sequence[int], options: Any = None
    ) -> tuple[Joints, list[int]]:
        """One motion of several ones: their codes follow each other, and are decoded at once.

        Arguments and errors are those of `generate_motions`, of a model with `Capabilities.end_of_codes`.

        Returns:
          Its joints, and the frame at which each one ends.
        """
        options = self.answers.motion_options() if options is None else options
        end, codes = self.answers.capabilities.end_of_codes, {}
        for order, values in self._answer("motion", questions, frames, seeds, options):
            for i, ids in zip(order, np.asarray(values["tokens"]).tolist()):
                codes[i] = ids[: ids.index(end)] if end in ids else ids
        joined = [code for i in range(len(questions)) for code in codes[i]]
        # What is rendered does not depend on the question.
        example = self.answers.example(0, questions[0], "motion", options, frames[0])
        render = self.answers.phases(example, "motion", options, round_up(frames[0], FRAME_STEP, self.frames[1]))[-1]
        padded = [*joined, *[end] * (round_up(len(joined) + 1, FRAME_STEP) - len(joined))]
        values = self._run(render, {"tokens": np.array([padded], np.int32), "frames": np.zeros(1, np.int32)})
        total = int(values["frames"][0])
        ends = np.cumsum([len(codes[i]) for i in range(len(questions))]) * total // len(joined)
        return np.asarray(values["joints"])[0, :total], ends.tolist()

    def generate_texts(
        self,
        questions: Sequence[Question],
        options: Any,
        seeds: Sequence[int] | None = None,
        makes: Makes = "text",
    ) -> list[Text]:
        """Texts that continue each question, without its end; `seeds` of each, where the options draw.

        Raises:
          UserError: a question is too long for the model.
        """
        seeds = [0] * len(questions) if seeds is None else seeds
        texts: dict[int, Text] = {}
        for order, values in self._answer(makes, questions, [0] * len(questions), seeds, options):
            tokens = np.asarray(values["tokens"])[: len(order)].tolist()
            texts |= {i: self.answers.text_of(ids, options) for i, ids in zip(order, tokens)}
        return [texts[i] for i in range(len(questions))]

    def reconstruct(self, clips: Sequence[Features]) -> list[Joints]:
        """Joints of clips of raw features that went through the encoder and back."""
        statistics, limit = self.folder.statistics, self.answers.capabilities.longest_read
        joints = []
        for order, rows in split_into_batches(len(clips)):
            length = round_up(max(len(clips[i]) for i in order), FRAME_STEP, limit)
            features = np.zeros((rows, length, len(statistics.mean)), np.float32)
            for row, i in enumerate(order):
                features[row, : len(clips[i])] = (clips[i] - statistics.mean) / statistics.std
            lengths = pad_to_rows([len(clips[i]) for i in order], rows)
            reconstructed = self._timed("reconstruct", "reconstruct", self.answers.reconstruct, features, lengths)
            places = features_to_joints(
                np.asarray(reconstructed) * statistics.std + statistics.mean, statistics.skeleton
            )
            joints += [places[row, : len(clips[i])] for row, i in enumerate(order)]
        return joints

    def code_motions(self) -> dict[str, Joints]:
        """Joints of what the codes in most use stand for, by their titles; nothing without a codebook."""
        statistics = self.folder.statistics
        with on_mesh(self.mesh):
            motions = self.answers.code_motions(self.variables)
        return {
            title: features_to_joints(np.asarray(features) * statistics.std + statistics.mean, statistics.skeleton)
            for title, features in motions.items()
        }

    def useful_shares(self) -> dict[str, float]:
        """Shares of slots and frames that held something in the last batch."""
        return dict(self._shares)

    def _answer(
        self, makes: Makes, questions: Sequence[Question], frames: Sequence[int], seeds: Sequence[int], options: Any
    ) -> list[tuple[list[int], Mapping[str, Any]]]:
        """(requests, values of the last phase) of every batch; all are under way before the first is waited for."""
        check_seeds(seeds)
        examples = [
            self.answers.example(i, question, makes, options, count)
            for i, (question, count) in enumerate(zip(questions, frames))
        ]
        results = []
        for order, rows in self._groups(examples, frames):
            group = [examples[i] for i in order]
            longest = round_up(max(frames[i] for i in order), FRAME_STEP, self.frames[1])
            phases = self.answers.phases(group[0], makes, options, longest)
            batch, places = self._batch(group, questions, rows, phases)
            values: dict[str, Any] = {
                "batch": batch,
                "places": places,
                "seeds": pad_to_rows([seeds[i] for i in order], rows),
                "frames": pad_to_rows([frames[i] for i in order], rows),
            }
            for phase in phases:
                values |= self._run(phase, values)
            results.append((order, {name: values.get(name) for name in ANSWERED}))
            if self.phases is not None:
                arrays = {name: np.asarray(values[name])[: len(order)] for name in RESULTS if name in values}
                self.flops.append(self.answers.flops(makes, group, arrays, options))
        return results

    def _groups(self, examples: Sequence[Example], frames: Sequence[int]) -> list[tuple[list[int], int]]:
        """(requests, rows) of every batch: as many clips and streams in each, and like lengths or none together."""

        def kind(i: int) -> tuple[int, tuple[str, ...], bool]:
            return len(examples[i].clips), tuple(sorted(examples[i].streams)), frames[i] > 0

        def size(i: int) -> tuple[int, int]:
            return round_up(frames[i], FRAME_STEP), sum(len(stream.ids) for stream in examples[i].streams.values())

        groups = []
        for group in sorted({kind(i) for i in range(len(examples))}):
            members = sorted((i for i in range(len(examples)) if kind(i) == group), key=size)
            groups += [([members[n] for n in numbers], rows) for numbers, rows in split_into_batches(len(members))]
        return groups

    def _batch(
        self, examples: Sequence[Example], questions: Sequence[Question], rows: int, phases: Sequence[Phase]
    ) -> tuple[Batch, Places | None]:
        """(requests laid out, where they lie if they share rows); sizes and rows are rounded up."""
        statistics, schema = self.folder.statistics, self.answers.schema
        packed = None
        if not examples[0].clips and all("places" in phase.takes for phase in phases if "batch" in phase.takes):
            packed = pack_questions(examples, rows, schema)
        packed = packed or one_a_row(examples, rows)
        clips = {}
        for example in examples:
            if example.clips:
                question = questions[example.number]
                features = np.concatenate([*question.clips, *question.answer_clips])
                clips[example.number] = (features - statistics.mean) / statistics.std
        capacities = {
            field.capacity: max(len(e.extra.get(field.name, ())) for e in examples) * packed.samples
            for field in schema.fields
            if field.capacity
        }
        shape = RowShape(
            slots=tuple(packed.slots.items()),
            clips=self._buckets(examples),
            samples=packed.samples,
            capacities=tuple(capacities.items()),
        )
        laid_out = [[examples[i] for i in row] for row in packed.rows]
        batch = build(laid_out, lambda number, _: clips[number], shape, schema, len(statistics.mean))
        self._shares.update({name: share for name, share in useful(batch).items() if name.endswith("_used")})
        return batch, places_of(packed, examples, batch, rows) if packed.samples > 1 else None

    def _buckets(self, examples: Sequence[Example]) -> tuple[tuple[int, int], ...]:
        """Room for the clips of any one of the requests, which have as many each."""
        if not examples[0].clips:
            return ()
        longest = max(clip.frames for example in examples for clip in example.clips)
        limit = self.longest_read if longest <= self.longest_read else self.answers.capabilities.longest_read
        return ((round_up(longest, FRAME_STEP, limit), len(examples[0].clips)),)

    def _run(self, phase: Phase, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The values that a phase adds; features become joints in the same program."""
        statistics = self.folder.statistics

        def run(variables: Variables, *arguments: Any) -> Mapping[str, Any]:
            results = dict(phase.run(variables, *arguments))
            if "features" in results:
                results["joints"] = _joints(results.pop("features"), statistics)
            return results

        return self._timed(phase.name, (phase.name, phase.key), run, *(values.get(name) for name in phase.takes))

    def _timed(self, name: str, key: Any, function: Callable[..., Any], *arguments: Any) -> Any:
        """Runs a program, compiled at first use, and books its time where that is asked for."""
        if key not in self.compiled:
            self.compiled[key] = jax.jit(function)
        began = time.perf_counter()
        with on_mesh(self.mesh):
            results = self.compiled[key](self.variables, *arguments)
        if self.phases is None:
            return results
        jax.block_until_ready(results)
        self.phases[name] = self.phases.get(name, 0.0) + time.perf_counter() - began
        return results


def place_variables(engine: Engine, variables: Variables) -> Variables:
    """Arrays on the devices of an engine, in the quickest form: on a mesh split as in training."""
    with on_mesh(engine.mesh):
        placed = put_variables(engine.mesh, engine.system, variables, f"'{engine.folder.path}'")
        return jax.tree.map(jnp.asarray, engine.answers.prepare(placed))


def make_system(folder: ModelFolder, constrain: Constrain | None = None) -> System:
    """The system that a folder's config describes.

    Raises:
      UserError: the config names a system that there is not.
    """
    return folder.kind.make_system(folder.spec, constrain)


def check_seeds(seeds: Sequence[int]) -> None:
    """Raises UserError when a seed is none that JAX takes."""
    for seed in seeds:
        if not isinstance(seed, Integral) or not 0 <= seed < 2**31:
            raise UserError(f"seed {seed}: give whole numbers from 0 to {2**31 - 1}")


def _joints(features: Array, statistics: MotionStatistics) -> Float[Array, "rows length joints 3"]:
    return features_to_joints(features * statistics.std + statistics.mean, statistics.skeleton)
