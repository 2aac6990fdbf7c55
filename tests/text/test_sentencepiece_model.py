"""T5's own tokenizer file."""

import pytest

from motiongpt3_jax.text import TokenSpec, load_tokenizer
from motiongpt3_jax.text.tokenizer import BPE, UNIGRAM
from tests.golden import MOTIONGPT

CODES = tuple(f"<motion_id_{number}>" for number in range(515))
SPEC = TokenSpec(CODES, (UNIGRAM,))
PIECES = (("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0), ("▁walks", -2.0), ("walks", -4.0), ("s", -6.0))


@pytest.fixture
def folder(tmp_path):
    """A `spiece.model` of few pieces."""
    from transformers.convert_slow_tokenizer import import_protobuf

    model = import_protobuf().ModelProto()
    model.trainer_spec.model_type, model.trainer_spec.unk_id = 1, 2
    for piece, score in PIECES:
        model.pieces.add(piece=piece, score=score)
    (tmp_path / "spiece.model").write_bytes(model.SerializeToString())
    return tmp_path


def test_sentinels_follow_the_pieces_backwards_and_added_tokens_follow_them(folder):
    tokenizer = load_tokenizer(folder, TokenSpec(("<a>", "<b>"), (UNIGRAM,)))
    first = len(PIECES)
    assert tokenizer.encode("walks<extra_id_0>s<extra_id_99><b>") == [4, first + 99, 3, 6, first, first + 101]
    assert (tokenizer.base_vocabulary, tokenizer.size, tokenizer.end) == (first + 100, first + 102, 1)


def test_it_comes_back_from_what_it_saves(folder, tmp_path):
    tokenizer = load_tokenizer(folder, SPEC)
    tokenizer.save(tmp_path / "saved")
    again = load_tokenizer(tmp_path / "saved", SPEC)
    text = "walks  walks<motion_id_3>walkss <extra_id_5>"
    assert again.encode(text) == tokenizer.encode(text)
    assert again.base_vocabulary == tokenizer.base_vocabulary


def test_a_damaged_file_and_a_system_that_takes_another_kind_are_refused(folder):
    with pytest.raises(ValueError, match="is a SentencePiece unigram; this system takes a byte-level BPE"):
        load_tokenizer(folder, TokenSpec(kinds=(BPE,)))
    for content, said in ((b"no model at all", "is no SentencePiece model"), (b"", "holds no unigram model")):
        (folder / "spiece.model").write_bytes(content)
        with pytest.raises(ValueError, match=said):
            load_tokenizer(folder, SPEC)


@pytest.mark.golden
def test_ids_of_filled_templates_are_the_recorded_ones():
    tokenizer, strings = load_tokenizer(MOTIONGPT.path("tokenizer"), SPEC), MOTIONGPT.json("strings")
    assert tokenizer.base_vocabulary == 32_100
    assert strings["fill"]
    for entry in strings["fill"]:
        assert [*tokenizer.encode(entry["string"]), tokenizer.end] == entry["ids"], entry["string"]
