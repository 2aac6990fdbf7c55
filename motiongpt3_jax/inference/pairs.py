"""Two people by a loaded model: both from a sentence, one's reaction to the other, and sentences about both."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.data_pipelines.clip import PLACE, Clip
from motiongpt3_jax.data_pipelines.pairs import pair_clip
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.clips import features_of, require_readable
from motiongpt3_jax.inference.engine import Engine, MadePair
from motiongpt3_jax.inference.folder import MotionStatistics
from motiongpt3_jax.inference.prompts import Prompts, sentence_of
from motiongpt3_jax.motion import Motion, canonicalise_pair, features_to_joints, join_pair
from motiongpt3_jax.motion.pairs import anchor_pair
from motiongpt3_jax.motion.resample import interpolate, resample_motion
from motiongpt3_jax.systems.interface import Question

Pair = Float[np.ndarray, "2 frames joints 3"]


class PairPart(NamedTuple):
    """A part of two people's motion that is read at once.

    Attributes:
      start, stop: when, in seconds.
      clip: features of both, and where the second one is.
    """

    start: float
    stop: float
    clip: Clip


def require_pairs(engine: Engine) -> None:
    """Raises UserError when a model knows one person alone."""
    if engine.answers.capabilities.persons < 2:
        raise UserError("this model knows one person alone; train a config of two people, such as motionllm:demo:pair")


def generate_pairs(
    engine: Engine,
    prompts: Prompts,
    sentences: Sequence[str],
    frames: Sequence[int],
    seeds: Sequence[int],
    options: Any,
    style: str = "train",
) -> list[Motion]:
    """Two people for each sentence, in one world: the first begins at the origin and faces +z.

    Raises:
      UserError: the model knows one person alone, or a length is more than it makes at once.
    """
    require_pairs(engine)
    questions = [
        Question(prompts.motion_question(sentence, style, seed, count, persons=2))
        for sentence, seed, count in zip(sentences, seeds, frames)
    ]
    statistics = engine.folder.statistics
    return [
        Motion(join_persons(pair, statistics).astype(np.float32), statistics.fps, statistics.skeleton)
        for pair in engine.generate_pairs(questions, frames, seeds, options)
    ]


def join_persons(pair: MadePair, statistics: MotionStatistics) -> Pair:
    """Both people in one world, the second one led through its places where there are several."""
    joints = join_pair(pair.joints, pair.places[0], skeleton=statistics.skeleton)
    if len(pair.places) < 2:
        return joints
    return anchor_pair(joints, pair.places, round(statistics.fps), statistics.skeleton)


def react_to_clips(
    engine: Engine, prompts: Prompts, clips: Sequence[Clip], sentences: Sequence[str], seed: int, options: Any
) -> list[Motion]:
    """The first person of each clip, and another one's reaction to it, in the frame of the first.

    Arguments are those of `react`, whose seeds follow each other.
    """
    require_pairs(engine)
    statistics = engine.folder.statistics
    questions = [Question(prompts.reaction_question(text), (clip.features,)) for text, clip in zip(sentences, clips)]
    frames = [len(clip.features) for clip in clips]
    reactions = engine.generate_pairs(questions, frames, range(seed, seed + len(clips)), options)
    motions = []
    for clip, reaction in zip(clips, reactions):
        first_person = features_to_joints(clip.features, statistics.skeleton)[: reaction.joints.shape[1]]
        joints = join_persons(MadePair(np.stack([first_person, reaction.joints[0]]), reaction.places), statistics)
        motions.append(Motion(joints.astype(np.float32), statistics.fps, statistics.skeleton))
    return motions


def react(engine: Engine, prompts: Prompts, motion: Motion, sentence: str, seed: int, options: Any) -> Motion:
    """Somebody's motion, as it is, and another one's reaction to it in the same world.

    Args:
      engine: the model.
      prompts: how it is asked.
      motion: of the first person; others in it are left out.
      sentence: about both, in which the given one is "the first person"; "" says nothing.
      seed: decides the reaction.
      options: how to sample.

    Raises:
      UserError: the model knows one person alone, or the motion is longer than it makes at once.
    """
    require_pairs(engine)
    statistics = engine.folder.statistics
    require_readable(motion, statistics)
    first_person = resample_motion(motion, statistics.fps).joints[0]
    longest = min(engine.longest_read, engine.frames[1])
    if len(first_person) > longest + 1:
        raise UserError(f"the motion lasts {motion.seconds:.1f} s; give at most {longest / statistics.fps:.1f} s")
    features = features_of(first_person, statistics)
    question = Question(prompts.reaction_question(sentence), (features,))
    (pair,) = engine.generate_pairs([question], [len(features)], [seed], options)
    # The reaction takes on the given one's size and floor; the place was told in the model's own metres.
    canonical, _, world = canonicalise_pair(
        np.stack([first_person, first_person]), statistics.skeleton, statistics.offsets
    )
    count = pair.joints.shape[1]
    both = join_pair(np.stack([canonical[0, :count], pair.joints[0]]), pair.places[0], world, statistics.skeleton)
    if len(pair.places) > 1:
        places = pair.places / [1, world.scale, world.scale]
        both = anchor_pair(both, places, round(statistics.fps), statistics.skeleton)
    # Features are one row fewer than joints: the reaction stands still in the last frame.
    times = np.minimum(np.arange(motion.frames) * statistics.fps / motion.fps, count - 1)
    reaction = interpolate(both[1], times).astype(np.float32)
    return Motion(np.stack([motion.joints[0], reaction]), motion.fps, motion.skeleton)


def pair_parts(motion: Motion, statistics: MotionStatistics, longest: int, what: str) -> list[PairPart]:
    """Two people's motion, `what` in errors, in as few parts of `longest` frames as can be, all about as long.

    Raises:
      UserError: it has another skeleton, or a single frame.
    """
    require_readable(motion, statistics, what)
    joints = resample_motion(motion, statistics.fps).joints[:2]
    count = -(-(joints.shape[1] - 1) // longest)
    cuts = np.linspace(0, joints.shape[1] - 1, count + 1).round().astype(int).tolist()
    fps = statistics.fps
    return [
        PairPart(start / fps, stop / fps, read_pair_clip(joints[:, start : stop + 1], statistics))
        for start, stop in pairwise(cuts)
    ]


def read_pair_clip(joints: Pair, statistics: MotionStatistics) -> Clip:
    """Two people as a clip, at the model's frame rate and in the proportions of its body."""
    return pair_clip("", joints, (), skeleton=statistics.skeleton, offsets=statistics.offsets)


def caption_pairs(
    engine: Engine,
    prompts: Prompts,
    clips: Sequence[Clip],
    seeds: Sequence[int] | None,
    options: Any,
    style: str = "train",
) -> list[str]:
    """A sentence for each clip of two people.

    Raises:
      UserError: the model knows one person alone, or a clip is longer than it reads at once.
    """
    require_pairs(engine)
    longest = engine.answers.capabilities.longest_read
    for clip in clips:
        if len(clip.features) > longest:
            raise UserError(f"a clip has {len(clip.features)} frames; this model reads up to {longest} at once")
    task = prompts.of_role("caption", 2).name
    questions = [
        Question(prompts.question(task, style, frames=len(clip.features)), clip.persons, place=clip.numbers[PLACE])
        for clip in clips
    ]
    return [sentence_of(text.words) for text in engine.generate_texts(questions, options, seeds, "pair_text")]
