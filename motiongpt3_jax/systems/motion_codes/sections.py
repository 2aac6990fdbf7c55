"""Sections of a config that systems with codes of motion share: the motion tokenizer, and the batch of a stage."""

from collections.abc import Mapping
from dataclasses import dataclass

from motiongpt3_jax.values import FLAG, NAME, Rule, pair_of, sequence_of, setting, whole

WIDTH, FRAMES = whole(1, 2**16), whole(1, 10**6)

SLOTS = Rule(
    "a section with a number of slots for each stream",
    lambda value: (
        isinstance(value, Mapping) and all(NAME.holds(k) and whole(0, 10**6).holds(v) for k, v in value.items())
    ),
)


@dataclass(frozen=True)
class VqVaeSection:
    """Section `model.vqvae`: sizes of the motion tokenizer, see `models.VqVaeConfig`.

    Attributes:
      width, code_width, codes, depth, dilation_growth: of these.
      permute: whether codes that are hardly used are re-seeded from random places of a batch, or from its first ones.
    """

    width: int = setting(WIDTH)
    code_width: int = setting(WIDTH)
    codes: int = setting(whole(2, 2**16))
    depth: int = setting(whole(1, 16))
    dilation_growth: int = setting(whole(1, 16))
    permute: bool = setting(FLAG)


@dataclass(frozen=True)
class BatchSection:
    """Section `batch` of a stage: how much a batch holds.

    Attributes:
      rows: rows of a batch, over all devices.
      slots: tokens of each stream in a row.
      clips: (frames, clips): so many clips of at most so many frames in a row, from short to long.
      samples: samples in a row at most.
      window: frames of a clip that the tokenizer sees at a visit; 0 for all.
    """

    rows: int = setting(whole(1, 10**6))
    slots: Mapping[str, int] = setting(SLOTS)
    clips: tuple[tuple[int, int], ...] = setting(sequence_of(pair_of(FRAMES, whole(1, 10**4)), least=1))
    samples: int = setting(whole(1, 10**4))
    window: int = setting(whole(0, 10**6))
