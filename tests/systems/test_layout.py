import numpy as np
import pytest

from motiongpt3_jax.batch import Sample
from motiongpt3_jax.systems.motiongpt3 import LayoutOptions, SequenceLayout, clip_layout
from motiongpt3_jax.text import load_templates, train_tokenizer

CAPTION = "a man walks"


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([CAPTION, "a woman runs"] * 4, 300)


def lay_out(tokenizer, subtask, templates="pretrain", frames=40, caption=CAPTION, **options):
    layout = SequenceLayout(tokenizer, load_templates(templates), LayoutOptions(**options))
    return layout([Sample(3, frames, caption, subtask)])[0]


def text_of(tokenizer, example, weighted=False):
    """The text slots' (or the weighted targets') words."""
    ids = example.targets[example.weights > 0] if weighted else example.streams["text"].ids
    return tokenizer.decode([int(i) for i in ids], skip_special=False)


def test_a_motion_to_make_is_four_holders_between_its_markers(tokenizer):
    example = lay_out(tokenizer, "t2m")
    assert text_of(tokenizer, example) == f"{CAPTION} \n <start_of_motion><end_of_motion><|endoftext|>"
    text, motion = example.streams["text"], example.streams["motion"]
    np.testing.assert_array_equal(motion.ids, [2, 2, 2, 2])
    start = int(text.positions[text.ids == tokenizer.start_of_motion][0])
    np.testing.assert_array_equal(motion.positions, start + 1 + np.arange(4))
    np.testing.assert_array_equal(
        np.sort(np.concatenate([text.positions, motion.positions])), np.arange(len(text.ids) + 4)
    )
    assert example.clips == ((0, 40),)
    assert example.outputs == (((0, 1, 2, 3), 0),)
    assert (example.inputs[:, 0] == -1).all()


def test_a_motion_to_read_fills_its_holders_with_the_chunks_of_its_clip(tokenizer):
    example = lay_out(tokenizer, "m2t")
    np.testing.assert_array_equal(example.streams["motion"].ids, [3, 3, 3, 3])
    np.testing.assert_array_equal(example.inputs, [(0, 0), (0, 1), (0, 2), (0, 3)])
    assert example.outputs == ()


def test_only_the_answer_is_a_target_unless_asked_otherwise(tokenizer):
    assert text_of(tokenizer, lay_out(tokenizer, "m2t"), weighted=True) == f" {CAPTION}<|endoftext|>"
    assert text_of(tokenizer, lay_out(tokenizer, "t2m"), weighted=True) == " <start_of_motion><|endoftext|>"
    whole = text_of(tokenizer, lay_out(tokenizer, "t2m", prompt_loss=True), weighted=True)
    assert whole == f"{CAPTION} \n <start_of_motion><|endoftext|>"[1:]


def test_the_end_of_a_motion_is_never_a_target(tokenizer):
    for subtask in ("t2m", "m2t", "pred"):
        example = lay_out(tokenizer, subtask, prompt_loss=True)
        assert tokenizer.end_of_motion not in example.targets[example.weights > 0]


def test_official_padding_fills_the_sequence_with_targets_that_are_no_keys(tokenizer):
    example = lay_out(tokenizer, "t2m", slots=64, prompt_loss=True, pad_loss=True)
    text = example.streams["text"]
    assert len(text.ids) + 4 == 64
    pads = ~text.attended
    assert (text.ids[pads] == tokenizer.end).all()
    assert example.weights[pads][:-1].all()
    assert example.weights[-1] == 0


def test_prediction_reads_the_first_fifth_and_makes_the_rest(tokenizer):
    example = lay_out(tokenizer, "pred", frames=50)
    assert example.clips == ((0, 10), (10, 50))
    np.testing.assert_array_equal(example.inputs[:4, 0], 0)
    assert example.outputs == (((4, 5, 6, 7), 1),)


@pytest.mark.parametrize(
    ("interleave", "order"),
    [(False, [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3)]),
     (True, [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3)])],
)  # fmt: skip
def test_in_betweening_reads_both_ends_and_makes_the_whole(tokenizer, interleave, order):
    example = lay_out(tokenizer, "inbetween", "instructions", frames=40, interleave=interleave)
    assert example.clips == ((0, 10), (30, 40), (0, 40))
    filled = example.inputs[example.inputs[:, 0] >= 0]
    np.testing.assert_array_equal(filled, order)
    assert [clip for _, clip in example.outputs] == [2]


def test_the_target_behind_the_mask_is_blind_and_counts_only_officially(tokenizer):
    assert lay_out(tokenizer, "inbetween", "instructions", blind=True, prompt_loss=True).blind == 1
    assert lay_out(tokenizer, "inbetween", "instructions", prompt_loss=True).blind == 0


def test_a_sequence_that_is_too_long_loses_words_and_keeps_its_motion_and_end(tokenizer):
    long = "a man walks " * 30
    example = lay_out(tokenizer, "t2m", slots=40, caption=long)
    text, motion = example.streams["text"], example.streams["motion"]
    assert len(text.ids) + len(motion.ids) == 40
    assert text_of(tokenizer, example).endswith("<start_of_motion><end_of_motion><|endoftext|>")
    assert len(example.outputs) == 1


def test_plain_text_may_start_at_any_position(tokenizer):
    layout = SequenceLayout(tokenizer, load_templates("text"), LayoutOptions(start=16))
    early, late = layout([Sample(0, 40, CAPTION, "text", (0.0, 0.0)), Sample(1, 40, CAPTION, "text", (0.99, 0.0))])
    assert early.streams["text"].positions[0] == 0
    assert late.streams["text"].positions[0] == 16


def test_an_unknown_sub_task_is_named(tokenizer):
    with pytest.raises(ValueError, match="no templates for the sub-task 'fly'"):
        lay_out(tokenizer, "fly")


def test_one_sample_is_laid_out_as_among_many(tokenizer):
    layout = SequenceLayout(tokenizer, load_templates("instructions"))
    samples = [
        Sample(n, 60, CAPTION, name, (0.3, 0.6), (0.1, 0.9)) for n, name in enumerate(load_templates("instructions"))
    ]
    for alone, among in zip((layout([sample])[0] for sample in samples), layout(samples)):
        np.testing.assert_array_equal(alone.streams["text"].ids, among.streams["text"].ids)
        np.testing.assert_array_equal(alone.weights, among.weights)
        assert alone.clips == among.clips


def test_a_clip_alone_has_no_slots():
    example = clip_layout([Sample(5, 44, "", "clip")])[0]
    assert example.clips == ((0, 44),)
    assert example.streams == {}
