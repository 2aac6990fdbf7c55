"""Generate clips by index, and split them into training, validation and test sets.

Clip `index` is a function of (seed, index, options). Of ten clips in a row eight are for training, one for validation,
one for testing. Sentences are divided by their text: none that is used in testing or validation occurs in training.
Testing also uses combinations of parameters (of an action, direction and limb: speed and count; of sequences: the two
actions) that training never shows, while each action, direction and limb by itself occurs in training.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count as numbers
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.data_pipelines.procedural.actions import ACTIONS, moves
from motiongpt3_jax.data_pipelines.procedural.captions import sentence
from motiongpt3_jax.data_pipelines.procedural.move import Move
from motiongpt3_jax.data_pipelines.procedural.perform import perform
from motiongpt3_jax.data_pipelines.procedural.score import Style
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import HUMANML3D, joints_to_features

CLIPS = 4000
"""Clips of the data set by default: all splits together."""

SPLITS = ("train", "val", "test")

_SPLIT_OF_TEN = ("train",) * 8 + ("val", "test")
"""Splits of ten clips in a row."""

_SENTENCES_OF_TEN = ("train",) * 7 + ("val",) + ("test",) * 2
"""Splits of sentences, by the last digit of their hash."""

CAPTIONS = 3
"""Captions of a clip."""


@dataclass(frozen=True)
class Options:
    """Options of the data set.

    Attributes:
      min_frames: of a clip, at 20 fps; shorter performances end with standing (or sitting) still.
      max_frames: of a clip; parameters that need more are left out.
      sequences: share of the clips in which one action follows another.
      actions: names of the actions to choose from.
    """

    min_frames: int = 40
    max_frames: int = 196
    sequences: float = 0.3
    actions: tuple[str, ...] = tuple(ACTIONS)


class Performance(NamedTuple):
    """A generated clip before its features are made."""

    joints: Float[np.ndarray, "frames 22 3"]
    captions: tuple[str, ...]
    labels: dict[str, Any]


def split_of(index: int) -> str:
    """The split of clip `index`."""
    return _SPLIT_OF_TEN[index % 10]


def split_of_sentence(text: str) -> str:
    """The split in which a sentence may be used."""
    return _SENTENCES_OF_TEN[hash_text(text) % 10]


def generate(index: int, seed: int = 0, options: Options | None = None) -> Performance:
    """Clip `index`: its joints in metres at 20 fps, from the origin, facing +z; its captions; its labels.

    Raises:
      UserError: options that leave nothing to choose.
    """
    options = options or Options()
    split = split_of(index)
    table = _choices(options)
    rng = np.random.default_rng((seed, index))
    sequence = _sequence(table, split, options, rng) if rng.random() < options.sequences else None
    chosen = sequence or [table.draw(split, rng)]
    frames = _frames(chosen, options, rng)
    joints = perform(chosen, frames, random_style(rng), rest=max(0, options.min_frames - sum(frames)))
    labels = {"actions": [move.label() for move in chosen]}
    return Performance(joints, _captions(chosen, split, rng), labels)


def clips(split: str, count: int | None = None, seed: int = 0, options: Options | None = None) -> Iterator[Clip]:
    """The clips of a split in order, with features.

    Args:
      split: "train", "val" or "test".
      count: how many; by default the split's part of CLIPS.
      seed: another seed gives another data set; the sentences and parameters of each split stay the same.
      options: what the data set holds.

    Raises:
      UserError: unknown split, or options that leave nothing to choose.
    """
    options = options or Options()
    for index in indices(split, count):
        joints, captions, labels = generate(index, seed, options)
        yield Clip(f"procedural_{seed}_{index:06d}", joints_to_features(joints, HUMANML3D), captions, labels)


def sentences(count: int, seed: int = 0, options: Options | None = None) -> Iterator[str]:
    """Captions of so many training clips without their motions, of one move each; they are not those of `clips`.

    Raises:
      UserError: options that leave nothing to choose.
    """
    for index in indices("train", count):
        rng = np.random.default_rng((seed, index, 1))
        yield from _captions([_choices(options or Options()).draw("train", rng)], "train", rng)


def indices(split: str, count: int | None = None) -> Iterator[int]:
    """Indices of the clips of a split.

    Raises:
      UserError: unknown split.
    """
    if split not in SPLITS:
        raise UserError(f"split '{split}' is not known; choose one of {', '.join(SPLITS)}.")
    count = CLIPS * _SPLIT_OF_TEN.count(split) // 10 if count is None else count
    return islice((index for index in numbers() if split_of(index) == split), count)


def is_held_out(moves: list[Move], options: Options | None = None) -> bool:
    """Whether this combination of parameters is held out from training."""
    if len(moves) == 2 and _pair_is_for_testing(moves):
        return True
    return any(move in _choices(options or Options()).testing for move in moves)


def possible_moves(options: Options | None = None) -> list[Move]:
    """Every combination of parameters that fits into a clip.

    Raises:
      UserError: options that leave nothing to choose.
    """
    return [move for action in _choices(options or Options()).groups.values() for group in action for move in group]


@dataclass(frozen=True)
class _Table:
    """The moves that fit into a clip, by action and what is shown of it.

    Attributes:
      groups: for each action, for each (action, direction, side), its moves.
      testing: the moves that training leaves out.
    """

    groups: dict[str, list[list[Move]]]
    testing: frozenset[Move]

    def draw(self, split: str, rng: np.random.Generator) -> Move:
        """A move for a split: every action equally often, then every direction and side."""
        group = pick(self.groups[pick(list(self.groups), rng)], rng)
        wanted = [move for move in group if (move in self.testing) == (split == "test")]
        return pick(wanted or group, rng)


@lru_cache(maxsize=16)
def _choices(options: Options) -> _Table:
    if not 24 <= options.min_frames <= options.max_frames or not 0 <= options.sequences <= 1:
        raise UserError(f"{options}: expected 24 <= min_frames <= max_frames and a share of sequences between 0 and 1.")
    kinds = defaultdict(list)
    for move in moves(options.actions):
        if ACTIONS[move.action].shortest(move) <= options.max_frames:
            kinds[move.kind].append(move)
    groups, testing = defaultdict(list), set()
    for (action, *_), group in kinds.items():
        groups[action].append(group)
        if len(group) >= 3:
            testing.update(sorted(group, key=lambda move: hash_text(repr(move)))[: max(1, len(group) // 5)])
    if not groups:
        raise UserError(f"no action of {options.actions} fits into {options.max_frames} frames; allow longer clips.")
    return _Table(dict(groups), frozenset(testing))


def _sequence(table: _Table, split: str, options: Options, rng: np.random.Generator) -> list[Move] | None:
    for _ in range(64):
        # What testing holds out of sequences is which actions follow each other, not how each is done.
        pair = [table.draw("train", rng), table.draw("train", rng)]
        first, second = (ACTIONS[move.action] for move in pair)
        if first is second or first.closes or _pair_is_for_testing(pair) != (split == "test"):
            continue
        if first.shortest(pair[0]) + second.shortest(pair[1]) <= options.max_frames:
            return pair
    return None


def _pair_is_for_testing(pair: list[Move]) -> bool:
    return hash_text(repr([move.kind for move in pair])) % 6 == 0


def _frames(chosen: list[Move], options: Options, rng: np.random.Generator) -> list[int]:
    shortest = [ACTIONS[move.action].shortest(move) for move in chosen]
    spare, frames = options.max_frames - sum(shortest), []
    for move, least in zip(chosen, shortest):
        more = int(rng.integers(max(0, min(ACTIONS[move.action].longest(move) - least, spare)) + 1))
        frames.append(least + more)
        spare -= more
    return frames


def _captions(chosen: list[Move], split: str, rng: np.random.Generator) -> tuple[str, ...]:
    captions: list[str] = []
    while len(captions) < CAPTIONS:
        text = sentence(chosen, rng)
        if split_of_sentence(text) == split and text not in captions:
            captions.append(text)
    return tuple(captions)


def random_style(rng: np.random.Generator) -> Style:
    """How somebody moves."""
    size, arms, lean = np.clip(rng.normal(size=3), -2, 2) * [0.05, 0.04, 0.02] + [1.0, 0.0, 0.0]
    return Style(size, arms, lean)


def hash_text(text: str) -> int:
    """A hash that is the same in every process."""
    # crc32 alone is linear: similar sentences would fall into related places.
    return zlib.crc32(f"{text}#{zlib.adler32(text.encode())}".encode()) >> 8


def pick(choices: list, rng: np.random.Generator):
    """One of some, each as likely."""
    return choices[int(rng.integers(len(choices)))]
