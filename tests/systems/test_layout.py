import numpy as np
import pytest

from motiongpt3_jax.batch import Sample
from motiongpt3_jax.systems.motiongpt3 import ClipLayout, SequenceLayout
from motiongpt3_jax.systems.motiongpt3.prompts import TOKEN_SPEC, TokenIds
from motiongpt3_jax.text import load_templates, train_tokenizer
from tests.systems.published import layout_options

CAPTION = "a man walks"


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([CAPTION, "a woman runs"] * 4, 300, TOKEN_SPEC)


def lay_out(tokenizer, subtask, templates="pretrain", frames=40, caption=CAPTION, holders=4, **options):
    layout = SequenceLayout(tokenizer, load_templates(templates), layout_options(**options), holders=holders)
    return layout([Sample(3, frames, caption, subtask)])[0]


def text_of(tokenizer, example, weighted=False):
    """The text slots' (or the weighted targets') words."""
    text = example.streams["text"]
    ids = text.targets[text.weights > 0] if weighted else text.ids
    return tokenizer.decode([int(i) for i in ids], skip_special=False)


def test_a_motion_to_make_is_four_holders_between_its_markers(tokenizer):
    example = lay_out(tokenizer, "t2m")
    assert text_of(tokenizer, example) == f"{CAPTION} \n <start_of_motion><end_of_motion><|endoftext|>"
    text, motion = example.streams["text"], example.streams["motion"]
    np.testing.assert_array_equal(motion.ids, [2, 2, 2, 2])
    start = int(text.positions[text.ids == TokenIds.of(tokenizer).start_of_motion][0])
    np.testing.assert_array_equal(motion.positions, start + 1 + np.arange(4))
    np.testing.assert_array_equal(
        np.sort(np.concatenate([text.positions, motion.positions])), np.arange(len(text.ids) + 4)
    )
    assert example.clips == ((0, 40, 0),)
    np.testing.assert_array_equal(example.extra["outputs"], [(0, 1, 2, 3)])
    np.testing.assert_array_equal(example.extra["output_clip"], [0])
    assert (motion.sources[:, 0] == -1).all()


def test_a_motion_to_read_fills_its_holders_with_the_chunks_of_its_clip(tokenizer):
    example = lay_out(tokenizer, "m2t")
    np.testing.assert_array_equal(example.streams["motion"].ids, [3, 3, 3, 3])
    np.testing.assert_array_equal(example.streams["motion"].sources, [(0, 0), (0, 1), (0, 2), (0, 3)])
    assert len(example.extra["outputs"]) == 0


def test_only_the_answer_is_a_target_unless_asked_otherwise(tokenizer):
    assert text_of(tokenizer, lay_out(tokenizer, "m2t"), weighted=True) == f" {CAPTION}<|endoftext|>"
    assert text_of(tokenizer, lay_out(tokenizer, "t2m"), weighted=True) == " <start_of_motion><|endoftext|>"
    whole = text_of(tokenizer, lay_out(tokenizer, "t2m", prompt_loss=True), weighted=True)
    assert whole == f"{CAPTION} \n <start_of_motion><|endoftext|>"[1:]


def test_the_end_of_a_motion_is_never_a_target(tokenizer):
    for subtask in ("t2m", "m2t", "pred"):
        example = lay_out(tokenizer, subtask, prompt_loss=True)
        text = example.streams["text"]
        assert TokenIds.of(tokenizer).end_of_motion not in text.targets[text.weights > 0]


def test_official_padding_fills_the_sequence_with_targets_that_are_no_keys(tokenizer):
    example = lay_out(tokenizer, "t2m", max_length=64, prompt_loss=True, pad_loss=True)
    text = example.streams["text"]
    assert len(text.ids) + 4 == 64
    pads = ~text.attended
    assert (text.ids[pads] == tokenizer.end).all()
    assert text.weights[pads][:-1].all()
    assert text.weights[-1] == 0


def test_prediction_reads_the_first_fifth_and_makes_the_rest(tokenizer):
    example = lay_out(tokenizer, "pred", frames=50)
    assert example.clips == ((0, 10, 0), (10, 50, 0))
    np.testing.assert_array_equal(example.streams["motion"].sources[:4, 0], 0)
    np.testing.assert_array_equal(example.extra["outputs"], [(4, 5, 6, 7)])
    np.testing.assert_array_equal(example.extra["output_clip"], [1])


@pytest.mark.parametrize(
    ("interleave", "order"),
    [(False, [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3)]),
     (True, [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3)])],
)  # fmt: skip
def test_in_betweening_reads_both_ends_and_makes_the_whole(tokenizer, interleave, order):
    example = lay_out(tokenizer, "inbetween", "instructions", frames=40, interleave=interleave)
    assert example.clips == ((0, 10, 0), (30, 40, 0), (0, 40, 0))
    sources = example.streams["motion"].sources
    filled = sources[sources[:, 0] >= 0]
    np.testing.assert_array_equal(filled, order)
    np.testing.assert_array_equal(example.extra["output_clip"], [2])


def test_the_target_behind_the_mask_is_unpredictable_and_counts_only_officially(tokenizer):
    official, ours = (
        lay_out(tokenizer, "inbetween", "instructions", unpredictable_targets=counts, prompt_loss=True)
        for counts in (True, False)
    )
    assert (official.extra["unpredictable"], ours.extra["unpredictable"]) == (1, 0)


def test_a_sequence_that_is_too_long_loses_words_and_keeps_its_motion_and_end(tokenizer):
    long = "a man walks " * 30
    example = lay_out(tokenizer, "t2m", max_length=40, caption=long)
    text, motion = example.streams["text"], example.streams["motion"]
    assert len(text.ids) + len(motion.ids) == 40
    assert text_of(tokenizer, example).endswith("<start_of_motion><end_of_motion><|endoftext|>")
    assert len(example.extra["outputs"]) == 1


def test_plain_text_may_start_at_any_position(tokenizer):
    layout = SequenceLayout(tokenizer, load_templates("text"), layout_options(max_position_offset=16))
    early, late = layout([Sample(0, 40, CAPTION, "text", (0.0, 0.0)), Sample(1, 40, CAPTION, "text", (0.99, 0.0))])
    assert early.streams["text"].positions[0] == 0
    assert late.streams["text"].positions[0] == 16


def test_an_unknown_sub_task_is_named(tokenizer):
    with pytest.raises(ValueError, match="no templates for the sub-task 'fly'"):
        lay_out(tokenizer, "fly")


def test_one_sample_is_laid_out_as_among_many(tokenizer):
    layout = SequenceLayout(tokenizer, load_templates("instructions"), layout_options())
    samples = [
        Sample(n, 60, CAPTION, name, (0.3, 0.6), (0.1, 0.9)) for n, name in enumerate(load_templates("instructions"))
    ]
    for alone, among in zip((layout([sample])[0] for sample in samples), layout(samples)):
        np.testing.assert_array_equal(alone.streams["text"].ids, among.streams["text"].ids)
        np.testing.assert_array_equal(alone.streams["text"].weights, among.streams["text"].weights)
        assert alone.clips == among.clips


def test_a_clip_alone_has_no_slots():
    example = ClipLayout()([Sample(5, 44, "", "clip")])[0]
    assert example.clips == ((0, 44, 0),)
    assert example.streams == {}


def test_a_motion_has_as_many_holders_as_the_model_has(tokenizer):
    made, given = (lay_out(tokenizer, task, holders=6) for task in ("t2m", "m2t"))
    np.testing.assert_array_equal(made.streams["motion"].ids, [2] * 6)
    assert made.extra["outputs"].shape == (1, 6)
    np.testing.assert_array_equal(given.streams["motion"].sources, [(0, chunk) for chunk in range(6)])
