"""Motion prediction and in-betweening with given frames kept to the bit; the model sees the given frames alone.

The result is in the given motion's own place, proportions and frame rate, and its given frames are untouched. What the
model makes is brought there: onto the given body, turned and carried to the stance that the given frames lead to, and
bent at the seams (`motion.seams`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.clips import features_of, require_skeleton
from motiongpt3_jax.inference.engine import Engine, check_seeds
from motiongpt3_jax.inference.folder import MotionStatistics
from motiongpt3_jax.inference.prompts import Prompts
from motiongpt3_jax.motion import Motion
from motiongpt3_jax.motion.canonical import uniform_skeleton
from motiongpt3_jax.motion.ground_pose import GroundPose, ground_poses, move_to_pose, wrap_angle
from motiongpt3_jax.motion.resample import interpolate
from motiongpt3_jax.motion.seams import Correction, acceleration_limit, join
from motiongpt3_jax.systems.interface import Question

Joints = Float[np.ndarray, "frames joints 3"]

SHORTEST = 0.5
"""Seconds that must be given at least."""


@dataclass(frozen=True)
class Bend:
    """What it took to make a motion meet the given frames.

    Attributes:
      place: how far the made part's end was carried to meet the given end, metres; 0 where no end was given.
      yaw: how far it was turned there, radians.
      joints: how far its joints were bent then.
    """

    place: float
    yaw: float
    joints: Correction


class Joined(NamedTuple):
    """A motion with given frames in it.

    Attributes:
      motion: in the place, proportions and frame rate of what was given.
      bends: what it took to meet the given frames, for every person and window.
    """

    motion: Motion
    bends: list[Bend]


def predict(engine: Engine, prompts: Prompts, motion: Motion, frames: int, seed: int, options: Any) -> Joined:
    """The motion, gone on with until it has so many frames, and how each window was bent to what came before.

    The model is given as much as in training: the last quarter of what it is to add, so that the timing is right;
    where more is asked for than it makes at once, it goes on from its own frames.

    Raises:
      UserError: less than half a second is given, or nothing is to be added.
    """
    check_seeds([seed])
    _check(motion, engine.folder.statistics, "the given part")
    if frames <= motion.frames:
        raise UserError(f"{frames} frames were asked for and {motion.frames} are given; ask for more frames")
    limits = [acceleration_limit(person, fps=motion.fps) for person in motion.joints]
    return _extend(engine, prompts, motion, frames, limits, seed, options)


def _extend(
    engine: Engine,
    prompts: Prompts,
    motion: Motion,
    frames: int,
    limits: Sequence[float],
    seed: int,
    options: Any,
) -> Joined:
    """As `predict`, with seams within these limits, one a person."""
    people = [person.astype(np.float64) for person in motion.joints]
    # Of what is given alone: the lowest point of frames that were made need not be the floor.
    floors = [float(person[..., 1].min()) for person in people]
    bends = []
    window = 0
    while len(people[0]) < frames:
        seeds = [seed_of(seed, window, person) for person in range(len(people))]
        pieces = _window(engine, prompts, people, floors, limits, motion.fps, frames, seeds, options)
        bends += [bend for _, bend in pieces]
        people = [np.concatenate([person, more]) for person, (more, _) in zip(people, pieces)]
        window += 1
    return Joined(_with_frames(motion, people, slice(0, motion.frames)), bends)


def inbetween(
    engine: Engine,
    prompts: Prompts,
    start: Motion,
    end: Motion,
    between: int,
    seed: int,
    options: Any,
    move_end: bool = False,
) -> Joined:
    """The two motions with so many frames between them, and how these were bent to meet both, one a person.

    The end stays where it is, or is brought as a whole to where the first person's way leads, on the start's floor.

    Raises:
      UserError: a side is shorter than half a second, the two do not go together, or nothing is to be added.
    """
    statistics = engine.folder.statistics
    check_seeds([seed])
    _check(start, statistics, "the beginning")
    _check(end, statistics, "the end")
    if between < 1:
        raise UserError(f"{between} frames were asked for between the two motions; ask for at least one")
    if start.persons != end.persons or not math.isclose(start.fps, end.fps, rel_tol=1e-4):
        raise UserError(
            f"the beginning has {start.persons} persons at {start.fps:g} fps, the end {end.persons} at {end.fps:g}; "
            "give both alike"
        )
    # A gap that is longer than the model can bridge is first walked into from its beginning.
    bends: list[Bend] = []
    limits = [acceleration_limit(*sides, fps=start.fps) for sides in zip(start.joints, end.joints)]
    first, most = start, int(engine.window_length * 0.5 * start.fps / statistics.fps)
    if between > most:
        first, bends = _extend(engine, prompts, start, start.frames + between - most, limits, seed, options)
    gap = between - (first.frames - start.frames)
    people = [
        _bridge(engine, prompts, *(side.astype(np.float64) for side in sides), start.fps, gap, limit)
        for *sides, limit in zip(first.joints, end.joints, limits)
    ]
    seeds = [seed_of(seed, 1000, person) for person in range(len(people))]
    answers = engine.generate_motions([b.question for b in people], [b.frames for b in people], seeds, options)
    if move_end:
        step, floors = people[0].lead(answers[0], statistics), people[0].floors
        rise = np.array([0.0, floors[0] - floors[1], 0.0])
        people = [
            replace(
                bridge,
                end=move_to_pose(bridge.end, *step) + rise,
                floors=(bridge.floors[0], bridge.floors[1] + rise[1]),
            )
            for bridge in people
        ]
        end = replace(end, joints=np.stack([bridge.end for bridge in people]).astype(np.float32))
    fits = [bridge.fit(joints, statistics) for bridge, joints in zip(people, answers)]
    whole = [np.concatenate([a, middle, b]) for a, (middle, _), b in zip(first.joints, fits, end.joints)]
    result = _with_frames(start, whole, slice(0, start.frames))
    result.joints[:, len(whole[0]) - end.frames :] = end.joints
    return Joined(result, [*bends, *(bend for _, bend in fits)])


def _window(
    engine: Engine,
    prompts: Prompts,
    people: Sequence[Joints],
    floors: Sequence[float],
    limits: Sequence[float],
    fps: float,
    frames: int,
    seeds: Sequence[int],
    options: Any,
) -> list[tuple[Joints, Bend]]:
    """The frames that one answer of the model adds to every person, at the motion's own frame rate."""
    statistics, high = engine.folder.statistics, engine.window_length
    ratio = fps / statistics.fps
    count = len(people[0])
    task = prompts.of_role("predict")
    ((_, share),) = task.input_spans
    multiple = round((1 - share) / share)
    # Features are one row fewer than joints, so the answer begins with the last given frame.
    seen = min(int((count - 1) / ratio + 1e-6), high // multiple)
    length = min(high, seen * multiple)
    adds = min(frames - count, int((length - 1) * ratio + 1e-6))
    if adds < 1:
        raise UserError(f"a motion of {fps:g} frames a second is too slow to go on from; resample it first")
    times = count - 1 - np.arange(seen + 1)[::-1] * ratio
    contexts = [interpolate(person, times) for person in people]
    questions = [Question(prompts.question(task.name), (features_of(context, statistics),)) for context in contexts]
    answers = engine.generate_motions(questions, [length] * len(people), seeds, options)
    results = []
    for person, floor, limit, joints in zip(people, floors, limits, answers):
        joints = _with_proportions(joints.astype(np.float64), person, statistics)
        joints[..., 1] += floor
        placed = move_to_pose(
            joints, ground_poses(joints[0], statistics.skeleton), ground_poses(person[-1], statistics.skeleton)
        )
        proposed = interpolate(placed, np.arange(1, adds + 1) / ratio)
        bent, correction = join(person, proposed, None, fps, limit, statistics.skeleton)
        results.append((bent, Bend(0.0, 0.0, correction)))
    return results


@dataclass(frozen=True)
class _Bridge:
    """A gap between two given motions of one person, and what is asked to fill it.

    Attributes:
      start, end: the given joints.
      fps: their frame rate.
      gap: frames to be made at that rate.
      question: what the model is asked.
      frames: length of its answer in features: both contexts and the gap, at its own frame rate.
      seen: frames of the contexts of the start and of the end.
      floors: heights of the floor under both.
      limit: acceleration that the seams may have, metres per frame squared.
    """

    start: Joints
    end: Joints
    fps: float
    gap: int
    question: Question
    frames: int
    seen: tuple[int, int]
    floors: tuple[float, float]
    limit: float

    def lead(self, joints: Joints, statistics: MotionStatistics) -> tuple[GroundPose, GroundPose]:
        """The stance that the end has, and the one to which the answer leads."""
        placed = ground_poses(self._placed(joints, statistics)[-1], statistics.skeleton)
        return ground_poses(self.end[0], statistics.skeleton), placed

    def fit(self, joints: Joints, statistics: MotionStatistics) -> tuple[Joints, Bend]:
        """The answer's middle, brought to both sides."""
        skeleton, placed = statistics.skeleton, self._placed(joints, statistics)
        progress = _progress(placed)
        placed[..., 1] += (self.floors[0] + progress * (self.floors[1] - self.floors[0]))[:, None]
        now, goal = ground_poses(placed, skeleton), ground_poses(self.end[0], skeleton)
        step, turn = goal.place - now.place[-1], wrap_angle(goal.yaw - now.yaw[-1])
        carried = GroundPose(now.place + progress[:, None] * step, now.yaw + progress * turn)
        proposed = move_to_pose(placed, now, carried)[1:-1]
        bent, correction = join(self.start, proposed, self.end, self.fps, self.limit, skeleton)
        return bent, Bend(float(np.linalg.norm(step)), abs(float(turn)), correction)

    def _placed(self, joints: Joints, statistics: MotionStatistics) -> Joints:
        """The answer's middle with a frame on either side, begun where the start ends; its floor is at height 0."""
        joints = _with_proportions(joints.astype(np.float64), self.start, statistics)
        first, last = self.seen[0] - 1, self.frames - self.seen[1] + 1
        way = np.arange(self.gap + 2) / (self.gap + 1)
        middle = interpolate(joints, first + way * (last - first))
        return move_to_pose(
            middle, ground_poses(middle[0], statistics.skeleton), ground_poses(self.start[-1], statistics.skeleton)
        )


def _bridge(
    engine: Engine, prompts: Prompts, start: Joints, end: Joints, fps: float, gap: int, limit: float
) -> _Bridge:
    """What to ask for a gap: as in training, half as much is seen on each side as is hidden, if there is as much."""
    statistics = engine.folder.statistics
    ratio = fps / statistics.fps
    hidden = max(round((gap + 1) / ratio) - 1, 1)
    room = max((engine.window_length - hidden) // 2, 2)
    shortest = round(SHORTEST * statistics.fps)
    wanted = min(max(-(-hidden // 2), shortest), room)
    seen = [min(int((len(side) - 1) / ratio + 1e-6) + 1, wanted) for side in (start, end)]
    views = (
        interpolate(start, len(start) - 1 - np.arange(seen[0])[::-1] * ratio),
        interpolate(end, np.arange(seen[1]) * ratio),
    )
    question = Question(
        prompts.question(prompts.of_role("inbetween").name), tuple(features_of(view, statistics) for view in views)
    )
    floors = tuple(float(view[..., 1].min()) for view in views)
    return _Bridge(start, end, fps, gap, question, seen[0] + hidden + seen[1] - 1, (seen[0], seen[1]), floors, limit)


def seed_of(seed: int, window: int, person: int = 0) -> int:
    """The seed of a part of a request; that of its first window and person is the request's own."""
    if not window and not person:
        return seed
    return int(np.random.SeedSequence([seed, window, person]).generate_state(1)[0] >> 1)


def _with_proportions(joints: Joints, reference: Joints, statistics: MotionStatistics) -> Joints:
    """The model's joints with the bone lengths of a reference motion, standing on a floor at height 0."""
    usual = np.median(statistics.skeleton.offsets(reference), axis=0)
    return uniform_skeleton(joints, usual, statistics.skeleton)


def _progress(joints: Joints) -> Float[np.ndarray, "frames"]:
    """From 0 to 1 as the root travels: what stands still is not carried, unless it never travels."""
    steps = np.linalg.norm(np.diff(joints[:, 0, ::2], axis=0), axis=-1)
    steps = steps + 0.02 / len(steps) + 0.05 * steps.sum() / len(steps)
    return np.concatenate([[0.0], np.cumsum(steps) / steps.sum()])


def _with_frames(motion: Motion, people: Sequence[Joints], kept: slice) -> Motion:
    """Persons as a motion, with the frames of `motion` in place of those that `kept` names, to the bit."""
    joints = np.stack(people).astype(np.float32)
    joints[:, kept] = motion.joints
    return replace(motion, joints=joints)


def _check(motion: Motion, statistics: MotionStatistics, what: str) -> None:
    require_skeleton(motion, statistics, what)
    if motion.seconds < SHORTEST or motion.frames < 2:
        frames = f"{motion.frames} frame{'s' * (motion.frames != 1)}"
        raise UserError(f"{what} lasts {motion.seconds:.2f} s, {frames}; give at least {SHORTEST:g} s and two frames")
