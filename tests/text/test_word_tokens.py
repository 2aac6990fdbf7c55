import pytest

from motiongpt3_jax.text import TokenSpec, train_tokenizer
from motiongpt3_jax.text.tokenizer import BPE, END, UNIGRAM
from motiongpt3_jax.text.word_tokens import WordTokens

MARK = "<a_mark>"
CAPTIONS = (
    "a person walks forward, then turns around.",
    "the man's arms  swing; he doesn't stop!",
    'someone says "hello" and waves (twice).',
    "walks in a 180-degree circle...",
    "a person's left/right hand: raised & lowered",
)
ODD = (" leads with a space", "ends with one ", "two\nlines", "tab\there", "naïve café", "a < b <c>", "", "...")


def tokens(kind):
    spec = TokenSpec((MARK,), (kind,))
    return WordTokens(train_tokenizer(CAPTIONS * 3, 400, spec))


@pytest.fixture(scope="module", params=[BPE, UNIGRAM])
def words(request):
    return tokens(request.param)


def test_ids_are_those_of_the_whole_text(words):
    assert words.additive
    for text in (*CAPTIONS, *ODD, f"{CAPTIONS[0]} {MARK}{MARK} {CAPTIONS[1]}", f'"{CAPTIONS[2]}".', f"{MARK} \n x"):
        for _ in range(2):  # from the tokenizer, then from memory
            assert words.encode(text) == words.tokenizer.encode(text), text


def test_ids_are_parted_where_the_tokenizer_parts_them(words):
    for question in (*CAPTIONS, "ends with one ", f"{MARK}", f"see {MARK} ", "two\nlines \n"):
        for answer in (*CAPTIONS, f"{MARK}.", "", " spaced", "naïve", "<c>"):
            text, stop = f"{question} \n {answer}{MARK}", len(question) + 2
            ids, ends = words.tokenizer.encode_spans([text])[0]
            assert words.encode_until(text, stop) == (ids.tolist(), (ends <= stop).sum()), text


def test_words_are_tokenized_once(words, monkeypatch):
    words.encode(CAPTIONS[0])
    monkeypatch.setattr(type(words.tokenizer), "encode_batch", None)
    assert words.encode(CAPTIONS[0])


def test_a_tokenizer_that_joins_words_is_asked_for_whole_texts():
    from tokenizers import pre_tokenizers

    words = tokens(BPE)
    words.tokenizer.backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    joining = WordTokens(words.tokenizer)
    assert not joining.additive
    assert joining.encode(f"{CAPTIONS[0]}{END}") == words.tokenizer.encode(f"{CAPTIONS[0]}{END}")
