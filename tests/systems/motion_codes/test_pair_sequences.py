"""Two people as sequences, and decoding that keeps to them: what is written may follow, what follows is read back."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.motion.place_codes import STEPS, YAWS
from motiongpt3_jax.systems.motion_codes.pair_grammar import PairGrammar
from motiongpt3_jax.systems.motion_codes.pair_sequences import PairSequences, read_pairs
from motiongpt3_jax.systems.motion_codes.pair_tokens import PAIR_IDS, PairTokens
from motiongpt3_jax.systems.motion_codes.pieces import plain

WORDS, CODES, FIRST = 50, 8, 60
"""Ids of words, of codes (which begin at 52, behind two marks), and the first one of two people."""

TOKENS = PairTokens(FIRST)
YAW, X, Z = TOKENS.places
WAYS = list(product(("following", "interleaved"), (False, True)))


def people(count, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, CODES, (2, count))
    places = rng.integers(0, [YAWS, STEPS, STEPS], (-(-count // 5), 3))
    return codes, places


def written(sequences, codes, places):
    return sequences.pair(*(plain(person + WORDS + 2) for person in codes), places).ids


def grammar(order, anchors, most=7, reaction=False):
    vocabulary = 2 + CODES + PAIR_IDS
    return PairGrammar(PairSequences(TOKENS, order, anchors), WORDS + 2, CODES, most, vocabulary, reaction, WORDS)


def test_one_person_follows_the_other_or_both_alternate():
    codes, places = np.array([[1, 2], [3, 4]]), np.array([[5, 6, 7]])
    place, mark = [YAW + 5, X + 6, Z + 7], [FIRST, FIRST + 1, FIRST + 2, FIRST + 3]
    following = written(PairSequences(TOKENS), codes, places)
    assert following.tolist() == [mark[0], 53, 54, mark[1], *place, mark[2], 55, 56, mark[3]]
    interleaved = written(PairSequences(TOKENS, "interleaved"), codes, places)
    assert interleaved.tolist() == [mark[0], mark[2], *place, 53, 55, 54, 56, mark[1], mark[3]]


@pytest.mark.parametrize(("order", "anchors"), WAYS)
def test_with_anchors_the_place_comes_once_a_second(order, anchors):
    codes, places = people(11)
    sequences = PairSequences(TOKENS, order, anchors)
    ids = written(sequences, codes, places)
    yaws = np.flatnonzero((ids >= YAW) & (ids < X))
    assert len(ids) == sequences.slots(11) == 29 + 6 * anchors
    assert (ids[yaws] - YAW).tolist() == places[: 1 + 2 * anchors, 0].tolist()


@pytest.mark.parametrize(("order", "anchors"), WAYS)
def test_sequences_are_read_back(order, anchors):
    many = [people(count, count) for count in (1, 5, 6, 11)]
    rows = [written(PairSequences(TOKENS, order, anchors), *pair) for pair in many]
    ids = np.zeros((len(rows), max(map(len, rows)) + 3), np.int32)
    for row, sequence in zip(ids, rows):
        row[: len(sequence)] = sequence
    read = read_pairs(jnp.asarray(ids), TOKENS, WORDS + 2, CODES, order)
    for row, (codes, places) in enumerate(many):
        count, times = codes.shape[1], len(places) if anchors else 1
        assert read.counts[row].tolist() == [count, count]
        assert read.times[row] == times
        np.testing.assert_array_equal(read.codes[row, :, :count], codes)
        np.testing.assert_array_equal(read.places[row, :times], places[:times])


@pytest.mark.parametrize(("order", "anchors"), WAYS)
@pytest.mark.parametrize("asked", [0, 6])
def test_what_is_written_is_allowed_and_its_end_alone_ends_it(order, anchors, asked):
    codes, places = people(6)
    rules = grammar(order, anchors)
    ids = written(rules.sequences, codes, places)[1:] - WORDS
    state = rules.start(jnp.array([asked]))
    for place, token in enumerate(ids):
        allowed = np.flatnonzero(rules.allowed(state)[0])
        assert token in allowed, place
        state = rules.advance(state, jnp.array([token]))
    end = TOKENS.end(1) - WORDS
    assert np.flatnonzero(rules.allowed(state)[0]).tolist() == [end]


@pytest.mark.parametrize(("order", "anchors"), WAYS)
@pytest.mark.parametrize("reaction", [False, True])
def test_whatever_is_allowed_has_as_many_codes_of_both(order, anchors, reaction):
    rules = grammar(order, anchors, reaction=reaction)
    rows, end = 24, TOKENS.end(1) - WORDS
    asked = jnp.array([0, 1, 5, 6, 7, 3] * 4) if not reaction else jnp.array([1, 5, 6, 7] * 6)
    state, key, tokens = rules.start(asked), jax.random.key(0), []
    step = jax.jit(lambda state, key: (token := draw(rules, state, key), rules.advance(state, token)))
    for number in range(rules.max_new):
        token, state = step(state, jax.random.fold_in(key, number))
        tokens.append(token)
    ids = np.stack(tokens, axis=1)
    assert (ids[:, -1] == end).all()
    read = read_pairs(ids + WORDS, TOKENS, WORDS + 2, CODES, "following" if reaction else order, second=reaction)
    wanted = np.asarray(asked)
    if reaction:
        np.testing.assert_array_equal(read.counts[:, 1], wanted)
    else:
        np.testing.assert_array_equal(read.counts[:, 0], read.counts[:, 1])
        np.testing.assert_array_equal(read.counts[wanted > 0, 0], wanted[wanted > 0])
        assert set(range(1, 8)) >= set(read.counts[:, 0].tolist())
    times = -(-np.asarray(read.counts[:, 1]) // 5) if anchors else np.ones(rows)
    np.testing.assert_array_equal(read.times, times)


def draw(rules, state, key):
    return jax.random.categorical(key, jnp.where(rules.allowed(state), 0.0, -jnp.inf), axis=-1)
