"""Samples of two people as rows: both orders, what is given and what is predicted."""

import numpy as np
import pytest

from motiongpt3_jax.batch import ClipRange, Sample
from motiongpt3_jax.motion.pairs import inverse_place
from motiongpt3_jax.motion.place_codes import encode_places
from motiongpt3_jax.systems.motion_codes.drafts import LayoutOptions, draws_of
from motiongpt3_jax.systems.motion_codes.layout import TokenizerLayout
from motiongpt3_jax.systems.motion_codes.pair_layout import PairTextLayout
from motiongpt3_jax.systems.motion_codes.pair_sequences import PairSequences
from motiongpt3_jax.systems.motion_codes.pair_tokens import PairTokens
from motiongpt3_jax.systems.motion_codes.prompts import load_subtasks

PLACES = ((3.1, 0.0, 1.0), (3.0, 0.1, 0.9), (2.9, 0.2, 0.8))
FRAMES = 42
CAPTION = "the first person walks to the second person"


@pytest.fixture
def layout(tokenizer, tokens):
    sequences = PairSequences(PairTokens(tokens.size), anchors=True)
    return PairTextLayout(tokenizer, tokens, load_subtasks("pairs"), LayoutOptions(128, False), sequences=sequences)


def sample(subtask, exchanged, **others):
    draws = (number / 97 for number in range(97))
    draw = next(d for d in draws if (draws_of(Sample(0, 1, "", "", draw=d)).random() < 0.5) == exchanged)
    known = {"persons": 2, "numbers": {"place": sum(PLACES, ())}, "draw": draw, **others}
    return Sample(5, FRAMES, CAPTION, subtask, **known)


def words(layout, slots):
    return layout.tokenizer.decode([i for i in slots.ids.tolist() if layout.tokens.is_word(i)]).strip()


@pytest.mark.parametrize("exchanged", [False, True])
def test_in_either_order_place_and_sentence_go_with_the_motions(layout, exchanged):
    (example,) = layout([sample("t2p", exchanged)])
    slots = example.streams["tokens"]
    assert example.clips == tuple(ClipRange(0, FRAMES, person) for person in ((1, 0) if exchanged else (0, 1)))
    places = encode_places(inverse_place(np.array(PLACES)) if exchanged else np.array(PLACES))
    tokens = layout.sequences.tokens
    shown = [i - tokens.places[0] for i in slots.ids if tokens.places[0] <= i < tokens.places[1]]
    assert shown == places[:, 0].tolist()
    assert words(layout, slots).startswith("the second" if exchanged else "the first")
    predicted = slots.targets[slots.weights > 0]
    assert (predicted[0], predicted[-2]) == (tokens.start(0), tokens.end(1))
    codes = slots.sources[slots.sources[:, 0] >= 0]
    np.testing.assert_array_equal(codes, [(person, code) for person in (0, 1) for code in range(11)])


def test_of_a_reaction_the_first_person_is_given(layout):
    (example,) = layout([sample("react", False)])
    slots, tokens = example.streams["tokens"], layout.sequences.tokens
    predicted = slots.targets[slots.weights > 0]
    assert predicted[0] == tokens.places[0] + encode_places(np.array(PLACES[0]))[0]
    assert (slots.weights > 0).sum() == len(predicted) == 3 * 3 + 1 + 11 + 1 + 1
    assert slots.ids[0] == tokens.start(0)


def test_captions_are_told_of_both(layout):
    (example,) = layout([sample("p2t", True)])
    slots = example.streams["tokens"]
    assert len(example.clips) == 2
    assert words(layout, slots) == "the second person walks to the first person"
    assert layout.sequences.tokens.start(0) == slots.ids[0]


def test_codes_that_are_known_enter_as_they_are(layout):
    codes = {ClipRange(0, FRAMES, person): np.full(11, 2 + person) for person in (0, 1)}
    (example,) = layout([sample("t2p", True, codes=codes)])
    assert example.clips == ()
    ids = example.streams["tokens"].ids
    motion = [i - layout.tokens.first_code for i in ids if layout.tokens.is_code(i)]
    assert motion == [3] * 11 + [2] * 11


def test_one_person_is_said_to_be_too_few(layout):
    with pytest.raises(ValueError, match="sample 5 shows one person"):
        layout([sample("t2p", False, persons=1, numbers={})])


def test_the_tokenizer_of_motion_sees_both_persons():
    (example,) = TokenizerLayout(16)([sample("", False, draw=0.5)])
    assert [clip.person for clip in example.clips] == [0, 1]
