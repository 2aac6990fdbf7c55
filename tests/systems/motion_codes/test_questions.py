"""Questions laid out for inference, and replies of words and motions read from their ids."""

import numpy as np
import pytest

from motiongpt3_jax.batch import ClipRange, Sample
from motiongpt3_jax.systems.motion_codes.drafts import LayoutOptions
from motiongpt3_jax.systems.motion_codes.layout import PairLayout, TextLayout
from motiongpt3_jax.systems.motion_codes.pieces import encode_parts, known, motion, plain
from motiongpt3_jax.systems.motion_codes.prompts import hidden_codes, load_subtasks
from motiongpt3_jax.systems.motion_codes.questions import QuestionParts, Questions, read_reply
from motiongpt3_jax.systems.motion_codes.tokens import DECODER_START, MotionTokens
from motiongpt3_jax.text import TokenSpec, train_tokenizer
from motiongpt3_jax.text.tokenizer import BPE
from tests.systems.motion_codes.conftest import CAPTIONS, CODES


def shown(reply):
    return [part if isinstance(part, str) else part.tolist() for part in reply]


def written(tokenizer, tokens, *parts):
    """The ids of words and lists of codes."""
    pieces = [part if isinstance(part, str) else motion(tokens, known(tokens, part)) for part in parts]
    return encode_parts(tokenizer, [pieces], trim=True)[0].ids.tolist()


@pytest.mark.parametrize(
    "reply",
    [
        ["a person walks"],
        [[3, 1, 1, 7]],
        ["a person walks", [0], "someone bows", [5, 5], "a man kicks"],
        [[1, 2], [3]],
        [[4], "someone bows"],
    ],
)
def test_words_and_motions_are_read_in_their_order(tokenizer, tokens, reply):
    ids = written(tokenizer, tokens, *reply)
    assert shown(read_reply([DECODER_START, *ids, tokens.end, 9, 0], tokenizer, tokens)) == reply
    assert shown(read_reply(np.array(ids), tokenizer, tokens)) == reply


def test_a_motion_that_is_broken_off_counts(tokenizer, tokens):
    ids = written(tokenizer, tokens, "a man kicks", [6, 0, 2])
    assert shown(read_reply(ids[:-1], tokenizer, tokens)) == ["a man kicks", [6, 0, 2]]
    assert shown(read_reply(ids[:-4], tokenizer, tokens)) == ["a man kicks"]


def test_what_is_neither_words_nor_a_motion_is_left_out(tokenizer, tokens):
    code, words = tokens.first_code, written(tokenizer, tokens, "bows")
    ids = [code, *words, tokens.mask, tokens.sentinels[0], tokens.start_of_motion, code + 1, *words, code, code]
    assert shown(read_reply(ids, tokenizer, tokens)) == ["bows", [1], "bows"]
    assert read_reply([], tokenizer, tokens) == []


@pytest.mark.parametrize("name", ["m2t_caption", "pred", "inbetween"])
def test_a_question_is_read_as_in_training(tokenizer, tokens, name):
    subtasks = load_subtasks("instructions")
    layout = PairLayout(tokenizer, tokens, subtasks, LayoutOptions(256, official=False))
    [trained] = layout([Sample(0, 61, CAPTIONS[0], name)])
    given = [clip.frames for clip in trained.clips][: {"inbetween": 2}.get(name, 1)]
    masks = hidden_codes(61, *given) if len(given) > 1 else 0
    question = Questions(tokenizer, tokens).pair(0, QuestionParts(subtasks[name].inputs[0], given, masks))
    source = trained.streams["source"]
    np.testing.assert_array_equal(question.streams["source"].ids, source.ids)
    np.testing.assert_array_equal(question.streams["source"].sources, source.sources)
    ends = np.cumsum([0, *given])
    assert question.clips == tuple(ClipRange(*pair) for pair in zip(ends[:-1].tolist(), ends[1:].tolist()))


def test_a_reply_begins_with_the_start_and_a_motion_with_its_own(tokenizer, tokens):
    questions = Questions(tokenizer, tokens)
    words, moves = (questions.pair(0, QuestionParts("bows", begins_motion=motion)) for motion in (False, True))
    assert words.streams["target"].ids.tolist() == [DECODER_START]
    assert moves.streams["target"].ids.tolist() == [DECODER_START, tokens.start_of_motion]


@pytest.mark.parametrize("official", [False, True])
def test_a_decoder_alone_goes_on_where_its_answer_began_in_training(official):
    tokenizer = train_tokenizer(CAPTIONS * 20, 300, TokenSpec(kinds=(BPE,)))
    tokens = MotionTokens.of(tokenizer, CODES)
    assert tokens.size == tokenizer.size + CODES + 3
    subtasks = load_subtasks("pretrain")
    layout = TextLayout(tokenizer, tokens, subtasks, LayoutOptions(256, official=official))
    questions = Questions(tokenizer, tokens, official)
    for name, makes in (("t2m", True), ("m2t", False)):
        sample = Sample(0, 40, CAPTIONS[0], name, draw=0.9)
        trained = layout([sample])[0].streams["tokens"]
        text = subtasks[name].inputs[0].replace("<Caption_Placeholder>", CAPTIONS[0])
        frames = [] if makes else [4 * int((trained.sources[:, 0] >= 0).sum())]
        ids = questions.one_text(0, QuestionParts(text, frames, begins_motion=makes)).streams["tokens"].ids
        # Words are asked for without the space before them, which officially is a token of its own.
        common = len(ids) - (official and not makes)
        np.testing.assert_array_equal(ids[:common], trained.ids[:common])
        if not official:
            assert trained.weights[common - 1 : -1].all()


def test_a_trained_tokenizer_ends_with_sentinels_as_a_published_one(tokenizer, tokens):
    assert tokens.first_code == tokenizer.size
    assert tokens.sentinels == tuple(range(tokenizer.size - 1, tokenizer.size - 101, -1))
    assert tokens.size == tokens.mask + 1
    assert not any(map(tokens.is_word, (*tokens.sentinels, tokens.end, DECODER_START, tokens.first_code)))
    assert plain(tokens.sentinels).sources.tolist() == [[-1, 0]] * 100
