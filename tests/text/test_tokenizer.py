"""Ids of texts: GPT-2's where its files are there, a trained tokenizer's anywhere."""

import pickle

import numpy as np
import pytest

from motiongpt3_jax import hub
from motiongpt3_jax.batch import Sample
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.motiongpt3.layout import LayoutOptions, SequenceLayout
from motiongpt3_jax.systems.motiongpt3.prompts import INPUT, MASK, OUTPUT, PAD, TOKEN_SPEC
from motiongpt3_jax.text import TokenSpec, load_templates, load_tokenizer, train_tokenizer
from motiongpt3_jax.text.tokenizer import BPE, CHARACTER_BPE, UNIGRAM
from tests.text.gemma_tokenizer import gemma_folder
from tests.text.llama_tokenizer import llama_folder

CAPTIONS = ["a person walks forward.", "a person walks back and waves", "the person runs forward"] * 3
MOTION = (
    "<start_of_motion><end_of_motion><masked_motion><pad_motion><motion_latent_holder_output><motion_latent_holder>"
)


@pytest.fixture(scope="module")
def trained():
    return train_tokenizer(CAPTIONS, 270, TOKEN_SPEC)


def test_gpt2_ids_of_a_sequence(gpt2):
    text = '"a man walks forward." \n <start_of_motion>' + "<motion_latent_holder_output>" * 4
    ids = gpt2.encode(text + "<end_of_motion><|endoftext|>")
    words = [1, 64, 582, 11114, 2651, 526, 220, 198, 220]
    assert ids == [*words, 50257, *[50261] * 4, 50258, 50256]


def test_gpt2_sizes(gpt2):
    assert (gpt2.base_vocabulary, gpt2.end, gpt2.id_of(MASK), gpt2.size) == (50257, 50256, 50259, 50263)


def test_gpt2_from_vocabulary_and_merges_is_the_same(gpt2, gpt2_folder, tmp_path):
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((gpt2_folder / name).read_bytes())
    text = "It's a  test – of\n\ttwo<|endoftext|> <masked_motion>."
    assert load_tokenizer(tmp_path, TOKEN_SPEC).encode(text) == gpt2.encode(text)


def test_motion_tokens_follow_the_base_vocabulary(trained):
    base = trained.base_vocabulary
    assert trained.encode(MOTION) == list(range(base, base + 6))
    assert [trained.id_of(token) for token in (MASK, PAD, OUTPUT, INPUT)] == list(range(base + 2, trained.size))


def test_a_special_token_keeps_its_neighbours_spaces(trained):
    ids = trained.encode("a <start_of_motion> b<|endoftext|>")
    assert ids[-1] == trained.end
    assert trained.decode(ids, skip_special=False) == "a <start_of_motion> b<|endoftext|>"
    assert trained.decode(ids) == "a  b"


def test_any_text_comes_back(trained):
    text = 'Löwe 獅子 🦁 "quoted"\t\n  end'
    assert trained.decode(trained.encode(text)) == text


def test_bytes_that_are_no_text_are_refused(trained):
    with pytest.raises(ValueError, match=r"'caf\\udce9' holds bytes that are no Unicode text; write it in UTF-8"):
        trained.encode(b"caf\xe9".decode(errors="surrogateescape"))


def test_ends_are_characters_of_the_text(trained):
    text = "ö a person <masked_motion>. \n b"
    ((ids, ends),) = trained.encode_spans([text])
    assert ids.tolist() == trained.encode(text)
    assert trained.decode(ids[ends <= text.index("<")]) == "ö a person "
    assert trained.decode(ids[ends > text.index("b") - 1], skip_special=False) in (" b", "b")
    assert np.all(np.diff(ends) >= 0)
    assert ends[-1] == len(text)


def test_a_batch_is_its_texts(trained):
    texts = ["a person", "", "waves <pad_motion>"]
    assert trained.encode_batch(texts) == [trained.encode(text) for text in texts]


def test_training_fills_the_size_and_shortens_its_captions(trained):
    assert trained.base_vocabulary == 270
    assert len(trained.encode(" person")) < len(" person")


def test_training_twice_gives_the_same_ids(trained):
    again = train_tokenizer(CAPTIONS, 270, TOKEN_SPEC)
    assert again.encode(CAPTIONS[1]) == trained.encode(CAPTIONS[1])


def test_training_a_unigram_model_twice_gives_the_same_file():
    captions = [
        f"a {person} {does} {times} times" for person in ("man", "dog") for does in ("hops", "sits") for times in "23"
    ]
    spec = TokenSpec((), (UNIGRAM,))
    files = {train_tokenizer(captions * 4, 300, spec).backend.to_str() for _ in range(4)}
    assert len(files) == 1


def test_saving_and_pickling_keep_every_id(trained, tmp_path):
    trained.save(tmp_path / "new" / "folder")
    text = CAPTIONS[0] + MOTION + "<|endoftext|>ß"
    for other in (load_tokenizer(tmp_path / "new" / "folder", TOKEN_SPEC), pickle.loads(pickle.dumps(trained))):
        assert other.encode(text) == trained.encode(text)
        assert other.size == trained.size


def test_transformers_reads_a_saved_tokenizer(trained, tmp_path):
    from transformers import AutoTokenizer

    trained.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs(CAPTIONS[0] + MOTION).input_ids == trained.encode(CAPTIONS[0] + MOTION)
    assert (theirs.eos_token_id, len(theirs)) == (trained.end, trained.size)


def test_a_unigram_tokenizer_has_its_end_in_front_and_the_added_tokens_behind(tmp_path):
    spec = TokenSpec(("<code_0>", "<code_1>"), (UNIGRAM,))
    tokenizer = train_tokenizer(CAPTIONS, 270, spec)
    assert (tokenizer.kind, tokenizer.end) == (UNIGRAM, 1)
    ids = tokenizer.encode("a person<code_1>")
    assert ids[-1] == tokenizer.id_of("<code_1>") == tokenizer.base_vocabulary + 1
    assert tokenizer.decode(ids) == "a person"
    tokenizer.save(tmp_path)
    assert load_tokenizer(tmp_path, spec).encode("a person<code_1>") == ids


def test_a_unigram_tokenizer_knows_numbers_and_signs_that_no_caption_has():
    tokenizer = train_tokenizer(CAPTIONS, 270, TokenSpec((), (UNIGRAM,)))
    text = "Move for 1234567890 frames (4.5 s): [QUICKLY]!"
    assert not set("0123456789[]") & set("".join(CAPTIONS))
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_tokenizer_of_another_kind_is_refused(trained, tmp_path):
    trained.save(tmp_path)
    with pytest.raises(UserError, match=f"is a {BPE}; this system takes a {UNIGRAM}"):
        load_tokenizer(tmp_path, TokenSpec((), (UNIGRAM,)))


def test_too_small_a_vocabulary_is_refused():
    with pytest.raises(ValueError, match="256 ids was asked for; at least 257"):
        train_tokenizer(CAPTIONS, 256)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no tokenizer at '.*nowhere': there is no such folder"):
        load_tokenizer(tmp_path / "nowhere")


def test_what_cannot_be_a_name_is_named():
    with pytest.raises(FileNotFoundError, match="no tokenizer 'not a name'"):
        load_tokenizer("not a name")


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no tokenizer in the folder"):
        load_tokenizer(tmp_path)


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer.json is no tokenizer's file"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_without_an_end_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}')
    with pytest.raises(ValueError, match=r"<\|endoftext\|> must be the last of its 0 ids"):
        load_tokenizer(tmp_path)


def test_too_large_a_vocabulary_is_refused():
    with pytest.raises(ValueError, match="999999999 ids was asked for; 262144 are the most"):
        train_tokenizer(CAPTIONS, 999_999_999)


def test_a_tokenizer_on_the_hub_is_its_files(trained, tmp_path, monkeypatch):
    trained.save(tmp_path / "there")
    monkeypatch.setattr(hub, "snapshot", lambda name, files: tmp_path / "there")
    assert load_tokenizer("some/body", TOKEN_SPEC).encode("a person") == trained.encode("a person")


def test_tokens_that_begin_and_end_texts_are_those_that_the_folder_names(tmp_path):
    loaded = load_tokenizer(llama_folder(tmp_path / "llama"), TOKEN_SPEC)
    base = loaded.base_vocabulary
    assert (loaded.begin, loaded.end_token, loaded.end) == ("<|begin_of_text|>", "<|end_of_text|>", base - 2)
    assert loaded.encode("<|begin_of_text|><|end_of_text|><start_of_motion>") == [base - 3, base - 2, base]
    assert loaded.encode("a person") == loaded.encode_batch(["a person"])[0]
    assert max(loaded.encode("a person walks")) < base - 3
    loaded.save(tmp_path / "saved")
    again = load_tokenizer(tmp_path / "saved", TOKEN_SPEC)
    text = '<|begin_of_text|>Löwe "walks" forward. \n a<|end_of_text|>'
    assert again.encode(text) == loaded.encode(text)
    assert again.decode(again.encode(text), skip_special=False) == text
    assert (again.begin, again.end_token, again.end) == (loaded.begin, loaded.end_token, loaded.end)
    without = load_tokenizer(llama_folder(tmp_path / "other", bos_token=None), TOKEN_SPEC)
    assert (without.begin, without.end) == ("", base - 2)


def test_sequences_begin_and_end_with_the_tokenizers_own_tokens(tmp_path):
    tokenizer = load_tokenizer(llama_folder(tmp_path / "llama"), TOKEN_SPEC)
    options = LayoutOptions(
        max_length=64,
        prompt_loss=False,
        pad_loss=False,
        unpredictable_targets=False,
        interleave=False,
        max_position_offset=0,
    )
    layout = SequenceLayout(tokenizer, load_templates("pretrain"), options, 20.0)
    (example,) = layout([Sample(0, 40, "a person walks", "t2m")])
    ids = example.streams["text"].ids.tolist()
    begin = tokenizer.encode("<|begin_of_text|>")
    assert ids[:1] == begin
    assert ids[-1] == tokenizer.end
    assert ids.count(begin[0]) == ids.count(tokenizer.end) == 1
    # The question is no target, what is answered is.
    assert not example.streams["text"].weights[0]


def test_a_tokenizer_of_characters_begins_and_ends_texts_and_gives_any_text_back(tmp_path):
    loaded = load_tokenizer(gemma_folder(tmp_path / "gemma"), TOKEN_SPEC)
    assert (loaded.kind, loaded.begin, loaded.end) == (CHARACTER_BPE, "<bos>", 1)
    base = loaded.base_vocabulary
    ids = loaded.encode("<bos>a person walks.<eos><start_of_motion>")
    assert (ids[0], ids[-2:]) == (2, [1, base])
    text = 'Löwe "walks"  獅子 \n a person'
    assert loaded.decode(loaded.encode(text)) == text
    ids, ends = loaded.encode_spans(["a person walks"])[0]
    assert loaded.decode(ids[:2]) == "a person"[: ends[1]]
    assert ends[-1] == len("a person walks")
    loaded.save(tmp_path / "saved")
    again = load_tokenizer(tmp_path / "saved", TOKEN_SPEC)
    assert again.encode(f"<bos>{text}<eos>") == loaded.encode(f"<bos>{text}<eos>")
    assert (again.begin, again.end_token, again.end) == (loaded.begin, loaded.end_token, loaded.end)


def test_a_tokenizer_that_puts_a_space_before_texts_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"puts a space before every text, as Llama 2's, which is not read"):
        load_tokenizer(gemma_folder(tmp_path, prefix=True), TOKEN_SPEC)
