"""Constrained decoding of two people: an automaton with counters that allows what `PairSequences` would write.

Both get as many codes. Where a number of codes is asked for, the first person has exactly that many.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from motiongpt3_jax.motion.place_codes import STEPS, YAWS
from motiongpt3_jax.systems.motion_codes.pair_sequences import CODES_PER_ANCHOR, PairSequences

CODE, FIRST_ENDS, SECOND_STARTS, SECOND_ENDS, YAW, X, Z, OTHER = range(8)
"""Kinds of ids."""


class GrammarState(NamedTuple):
    """Where each row is.

    Attributes:
      last: kind of the id before; `OTHER` at the beginning.
      counts: codes of both persons so far.
      asked: codes that each is to have; 0 where the model decides.
      begun: whether the second person has begun.
    """

    last: Int[Array, "rows"]
    counts: Int[Array, "rows 2"]
    asked: Int[Array, "rows"]
    begun: Bool[Array, "rows"]


@dataclass(frozen=True)
class PairGrammar:
    """What may follow, behind <P1>; of a reaction behind </P1>.

    Attributes:
      sequences: how two people are laid out.
      first_code: the id of code 0.
      codes: rows of the codebook.
      most: codes of a person at most.
      reaction: whether the first person is given, so that the second one alone follows.
      vocabulary: how many ids there are.
      offset: the id that is counted as 0.
    """

    sequences: PairSequences
    first_code: int
    codes: int
    most: int
    vocabulary: int
    reaction: bool = False
    offset: int = 0

    @property
    def kinds(self) -> Int[np.ndarray, "vocabulary"]:
        """The kind of every id."""
        tokens, ids = self.sequences.tokens, np.arange(self.vocabulary) + self.offset
        kinds = np.full(self.vocabulary, OTHER)
        marks = ((tokens.end(0), FIRST_ENDS), (tokens.start(1), SECOND_STARTS), (tokens.end(1), SECOND_ENDS))
        ranges = [(self.first_code, self.codes, CODE), *((mark, 1, kind) for mark, kind in marks)]
        ranges += zip(tokens.places, (YAWS, STEPS, STEPS), (YAW, X, Z))
        for first, count, kind in ranges:
            kinds[(ids >= first) & (ids < first + count)] = kind
        return kinds

    @property
    def max_new(self) -> int:
        """Ids that follow at most."""
        most = self.sequences.slots(self.most)
        return most - self.most - 2 if self.reaction else most - 1

    def start(self, asked: Int[Array, "rows"]) -> GrammarState:
        """Before the first id; of a reaction `asked` are the codes of the given person."""
        asked, rows = jnp.asarray(asked, jnp.int32), len(asked)
        counts = jnp.zeros((rows, 2), jnp.int32)
        last = jnp.full(rows, FIRST_ENDS if self.reaction else OTHER, jnp.int32)
        counts = counts.at[:, 0].set(asked) if self.reaction else counts
        return GrammarState(last, counts, asked, jnp.zeros(rows, bool))

    def allowed(self, state: GrammarState) -> Bool[Array, "rows vocabulary"]:
        """Which ids may follow."""
        return self._kinds_allowed(state)[:, self.kinds]

    def advance(self, state: GrammarState, ids: Int[Array, "rows"]) -> GrammarState:
        """After these ids."""
        kind = jnp.asarray(self.kinds)[ids]
        person = self._person(state)
        is_code = (kind == CODE)[:, None] & (jnp.arange(2) == person[:, None])
        counts = state.counts + is_code
        asked = jnp.where(kind == FIRST_ENDS, counts[:, 0], state.asked)
        return GrammarState(kind, counts, asked, state.begun | (kind == SECOND_STARTS))

    def _person(self, state: GrammarState) -> Int[Array, "rows"]:
        """Whose code comes next."""
        if self.sequences.order == "following" or self.reaction:
            return state.begun.astype(jnp.int32)
        return (state.counts[:, 0] > state.counts[:, 1]).astype(jnp.int32)

    def _kinds_allowed(self, state: GrammarState) -> Bool[Array, "rows kinds"]:
        first, second = state.counts.T
        last, person = state.last, self._person(state)
        between = self.sequences.order == "interleaved" and not self.reaction
        full = jnp.where(state.asked > 0, first >= state.asked, first >= self.most)
        may_end = jnp.where(state.asked > 0, full, first > 0)
        # The codes whose number says whether a place is due: in following order those of the second person.
        since = first if between else second
        due = self.sequences.anchors & (last == CODE) & (since > 0) & (since % CODES_PER_ANCHOR == 0)
        free = (last != YAW) & (last != X)
        if between:
            at_step = free & (person == 0) & (last != FIRST_ENDS) & state.begun & ((last == CODE) | (last == Z))
            starts = ~state.begun
            ends_first = at_step & may_end & (last == CODE)
            more = at_step & ~full
            yaw = (last == SECOND_STARTS) | (more & due)
            code = (more & ~due) | (free & (person == 1))
            ends_second = last == FIRST_ENDS
        else:
            in_first = ~state.begun & ((last == OTHER) | (last == CODE))
            in_second = state.begun & free
            starts = ~state.begun & (last == Z)
            ends_first = in_first & may_end
            yaw = (last == FIRST_ENDS) | (in_second & due & (second < first))
            code = (in_first & ~full) | (in_second & ~due & (second < first))
            ends_second = in_second & (second >= first)
        done = last == SECOND_ENDS
        allowed = [None] * (OTHER + 1)
        allowed[CODE], allowed[FIRST_ENDS], allowed[SECOND_STARTS] = code, ends_first, starts
        allowed[SECOND_ENDS], allowed[YAW], allowed[X], allowed[Z] = ends_second | done, yaw, last == YAW, last == X
        allowed[OTHER] = jnp.zeros_like(done)
        only_end = jnp.arange(OTHER + 1) == SECOND_ENDS
        return jnp.where(done[:, None], only_end, jnp.stack(allowed, axis=1))
