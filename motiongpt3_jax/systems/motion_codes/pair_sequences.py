"""Two people as one sequence: one after the other, or interleaved in time.

    following      <P1> codes of person 1 </P1> yaw x z <P2> codes of person 2 </P2>
    interleaved    <P1> <P2> yaw x z  code of person 1, code of person 2, ...  </P1> </P2>

Both have as many codes. With anchors yaw, x and z stand once a second, before the code whose first frame they are of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from motiongpt3_jax.motion.place_codes import STEPS, YAWS
from motiongpt3_jax.systems.motion_codes.pair_tokens import PairTokens
from motiongpt3_jax.systems.motion_codes.pieces import Piece, join, plain, single

Order = Literal["following", "interleaved"]

CODES_PER_ANCHOR = 5
"""Codes of a second: places are known every 20 frames, and a code stands for four."""


@dataclass(frozen=True)
class PairSequences:
    """Lays two people out.

    Attributes:
      tokens: their ids.
      order: of the codes.
      anchors: whether the place comes once a second; else once.
    """

    tokens: PairTokens
    order: Order = "following"
    anchors: bool = False

    def place(self, codes: Sequence[int]) -> Piece:
        """The ids of yaw, x and z."""
        return plain(first + int(code) for first, code in zip(self.tokens.places, codes))

    def person(self, codes: Piece, person: int = 0) -> Piece:
        """One of the two by itself."""
        return join(single(self.tokens.start(person)), codes, single(self.tokens.end(person)))

    def pair(self, first: Piece, second: Piece, places: Int[np.ndarray, "times 3"]) -> Piece:
        """Both, from their codes and the codes of places in frame 0 and once a second after it."""
        if self.order == "following":
            return join(self.person(first), self.second(second, places))
        starts, ends = (
            join(*(single(mark(person)) for person in (0, 1))) for mark in (self.tokens.start, self.tokens.end)
        )
        steps = [
            join(
                *self._anchor(number, places),
                first.cut(slice(number, number + 1)),
                second.cut(slice(number, number + 1)),
            )
            for number in range(len(first))
        ]
        return join(starts, self.place(places[0]), *steps, ends)

    def second(self, codes: Piece, places: Int[np.ndarray, "times 3"]) -> Piece:
        """What follows a first person: the place of the second, and its codes."""
        steps = [
            join(*self._anchor(number, places), codes.cut(slice(number, number + 1))) for number in range(len(codes))
        ]
        return join(self.place(places[0]), single(self.tokens.start(1)), *steps, single(self.tokens.end(1)))

    def _anchor(self, number: int, places: Int[np.ndarray, "times 3"]) -> list[Piece]:
        time, rest = divmod(number, CODES_PER_ANCHOR)
        return [self.place(places[time])] if self.anchors and not rest and 0 < time < len(places) else []

    def slots(self, codes: int) -> int:
        """Ids of two people with so many codes each."""
        return 2 * codes + 7 + 3 * self.anchors * anchors_of(codes)


def anchors_of(codes: int) -> int:
    """How many places stand between so many codes."""
    return max(-(-codes // CODES_PER_ANCHOR) - 1, 0)


class DecodedPair(NamedTuple):
    """Two people read from ids; what is beyond the counts means nothing.

    Attributes:
      codes: of both persons.
      counts: how many there are of each.
      places: codes of yaw, x and z of every time.
      times: how many there are.
    """

    codes: Int[Array, "rows 2 codes"]
    counts: Int[Array, "rows 2"]
    places: Int[Array, "rows times 3"]
    times: Int[Array, "rows"]


def read_pairs(
    ids: Int[Array, "rows slots"], tokens: PairTokens, first_code: int, codes: int, order: Order, second: bool = False
) -> DecodedPair:
    """Two people of sequences as `PairSequences` lays them out, without their start or with it.

    Args:
      ids: of the sequences; whatever else stands in them is left out.
      tokens: ids of two people.
      first_code: the id of code 0.
      codes: rows of the codebook.
      order: in which they lie.
      second: whether a sequence has the second person alone.
    """
    is_code = (ids >= first_code) & (ids < first_code + codes)
    if second:
        person = jnp.ones_like(ids)
    elif order == "following":
        person = (jnp.cumsum(ids == tokens.end(0), axis=1) > 0).astype(jnp.int32)
    else:
        person = (jnp.cumsum(is_code, axis=1) - 1) % 2
    length = ids.shape[1]
    persons = [_gather(ids - first_code, is_code & (person == number), length) for number in range(2)]
    kinds = [
        _gather(ids - first, (ids >= first) & (ids < first + size), length)
        for first, size in zip(tokens.places, (YAWS, STEPS, STEPS))
    ]
    times = jnp.min(jnp.stack([count for _, count in kinds]), axis=0)
    return DecodedPair(
        codes=jnp.stack([x for x, _ in persons], axis=1),
        counts=jnp.stack([count for _, count in persons], axis=1),
        places=jnp.stack([x for x, _ in kinds], axis=-1),
        times=times,
    )


def _gather(
    values: Int[Array, "rows slots"], which: Array, length: int
) -> tuple[Int[Array, "rows slots"], Int[Array, "rows"]]:
    """(The chosen values of each row in their order, then zeros; how many there are)."""
    rank = jnp.where(which, jnp.cumsum(which, axis=1) - 1, length)
    rows = jnp.arange(len(values))[:, None]
    return jnp.zeros_like(values).at[rows, rank].set(values, mode="drop"), which.sum(axis=1)
