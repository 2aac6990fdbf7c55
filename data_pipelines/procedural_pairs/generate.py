"""Generate clips of two people by index, and split them into training, validation and test sets.

Clip `index` is a function of (seed, index, options). Splits are those of the clips of one person: of ten clips in a row
eight are for training; no sentence of testing or validation occurs in training; and testing also shows speeds of an
interaction that training leaves out.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.data_pipelines.pairs import pair_clip
from motiongpt3_jax.data_pipelines.procedural.generate import (
    CAPTIONS,
    hash_text,
    indices,
    pick,
    random_style,
    split_of,
    split_of_sentence,
)
from motiongpt3_jax.data_pipelines.procedural_pairs.captions import sentence
from motiongpt3_jax.data_pipelines.procedural_pairs.interaction import Interaction
from motiongpt3_jax.data_pipelines.procedural_pairs.scenes import SCENES, Stage
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import HUMANML3D, canonicalise_pair, join_pair

SPEEDS = ("slowly", "normal", "quickly")
MOST_DRAWS = 10_000
"""Sentences that are drawn for a clip before giving up."""


@dataclass(frozen=True)
class Options:
    """Options of the data set.

    Attributes:
      min_frames: of a clip, at 20 fps; shorter performances end with standing still.
      max_frames: of a clip; what needs more is left out.
      actions: names of the interactions to choose from.
    """

    min_frames: int = 40
    max_frames: int = 196
    actions: tuple[str, ...] = tuple(SCENES)


class PairPerformance(NamedTuple):
    """A generated clip before its features are made.

    Attributes:
      joints: of both, metres, 20 fps, the first from the origin, facing +z.
      captions: sentences about it.
      labels: what a measurement can check.
    """

    joints: Float[np.ndarray, "2 frames 22 3"]
    captions: tuple[str, ...]
    labels: dict[str, Any]


def generate(index: int, seed: int = 0, options: Options | None = None) -> PairPerformance:
    """Clip `index`.

    Raises:
      UserError: options that leave nothing to choose.
    """
    options, split = options or Options(), split_of(index)
    rng = np.random.default_rng((seed, index, 2))
    do = _choices(options).draw(split, rng)
    stage = Stage(rng, (random_style(rng), random_style(rng)), options.min_frames, options.max_frames)
    joints = SCENES[do.action].perform(stage, do)
    if do.who == "second" or (do.who == "both" and rng.random() < 0.5):
        joints = joints[::-1]
    canonical, place, _ = canonicalise_pair(joints)
    return PairPerformance(
        join_pair(canonical, place).astype(np.float32), _captions(do, split, rng), {"actions": [do.label()]}
    )


def clips(split: str, count: int | None = None, seed: int = 0, options: Options | None = None) -> Iterator[Clip]:
    """The clips of a split in order, with features of both people.

    Args:
      split: "train", "val" or "test".
      count: how many; by default the split's part of `procedural.CLIPS`.
      seed: another seed gives another data set; the sentences and parameters of each split stay the same.
      options: what the data set holds.

    Raises:
      UserError: unknown split, or options that leave nothing to choose.
    """
    for index in indices(split, count):
        joints, captions, labels = generate(index, seed, options)
        yield pair_clip(f"procedural_pairs_{seed}_{index:06d}", joints, captions, labels, HUMANML3D)


def sentences(count: int, seed: int = 0, options: Options | None = None) -> Iterator[str]:
    """Captions of so many training clips without their motions; they are not those of `clips`.

    Raises:
      UserError: options that leave nothing to choose.
    """
    for index in indices("train", count):
        rng = np.random.default_rng((seed, index, 3))
        yield from _captions(_choices(options or Options()).draw("train", rng), "train", rng)


def possible_interactions(options: Options | None = None) -> list[Interaction]:
    """Every combination of parameters that fits into a clip.

    Raises:
      UserError: options that leave nothing to choose.
    """
    return [do for kinds in _choices(options or Options()).groups.values() for kind in kinds for do in kind]


def is_held_out(do: Interaction, options: Options | None = None) -> bool:
    """Whether this combination of parameters is held out from training."""
    return do in _choices(options or Options()).testing


@dataclass(frozen=True)
class _Table:
    """The interactions that fit into a clip, by action and what is shown of it, and those that training leaves out."""

    groups: dict[str, list[list[Interaction]]]
    testing: frozenset[Interaction]

    def draw(self, split: str, rng: np.random.Generator) -> Interaction:
        """An interaction for a split: every action equally often, then every kind."""
        group = pick(pick(list(self.groups.values()), rng), rng)
        allowed = [do for do in group if (do in self.testing) == (split == "test")]
        return pick(allowed or group, rng)


@lru_cache(maxsize=16)
def _choices(options: Options) -> _Table:
    if not 24 <= options.min_frames <= options.max_frames:
        raise UserError(f"{options}: expected 24 <= min_frames <= max_frames.")
    unknown = sorted(set(options.actions) - set(SCENES))
    if unknown or not options.actions:
        raise UserError(f"interactions {unknown or '()'} are not known; choose some of {', '.join(SCENES)}.")
    groups, testing = defaultdict(list), set()
    for name in options.actions:
        scene = SCENES[name]
        for values in product(scene.who, scene.directions, scene.sides, scene.distances):
            fitting = [
                do
                for do in (Interaction(name, *values, speed) for speed in SPEEDS)
                if scene.shortest(do) <= options.max_frames
            ]
            if fitting:
                groups[name].append(fitting)
            # Roles and sides mean nothing to a speed: what is held out of one order is held out of the other.
            neutral = replace(Interaction(name, *values, None), who="both", side=None)
            held_out = SPEEDS[hash_text(repr(neutral)) % len(SPEEDS)]
            testing.update(do for do in fitting if do.speed == held_out and len(fitting) == len(SPEEDS))
    if not groups:
        raise UserError(
            f"no interaction of {options.actions} fits into {options.max_frames} frames; allow longer clips."
        )
    return _Table(dict(groups), frozenset(testing))


def _captions(do: Interaction, split: str, rng: np.random.Generator) -> tuple[str, ...]:
    captions: list[str] = []
    for _ in range(MOST_DRAWS):
        text = sentence(do, rng)
        if split_of_sentence(text) == split and text not in captions:
            captions.append(text)
        if len(captions) == CAPTIONS:
            return tuple(captions)
    raise AssertionError(f"there are too few sentences about {do} for split '{split}'")
