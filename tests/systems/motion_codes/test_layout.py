"""Samples as rows: pieces of motion, templates, span corruption, and what is predicted."""

from dataclasses import replace

import numpy as np
import pytest

from motiongpt3_jax.batch import ClipRange, RowShape, Sample
from motiongpt3_jax.data_pipelines.packing import build, pack, size_of
from motiongpt3_jax.data_pipelines.sample_draws import Visits
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.motion_codes.drafts import LayoutOptions, UnpairedOptions, draws_of, encoded_ranges
from motiongpt3_jax.systems.motion_codes.layout import PairLayout, TextLayout, TokenizerLayout
from motiongpt3_jax.systems.motion_codes.prompts import Filling, fill_parts, load_subtasks
from motiongpt3_jax.systems.motion_codes.tokens import DECODER_START, codes_of
from motiongpt3_jax.text import TASKS
from tests.systems.motion_codes.conftest import CAPTIONS, CODES

SUBTASKS = load_subtasks("all_instructions")
PRETRAIN = load_subtasks("pretrain")
LENGTHS = (24, 25, 31, 40, 61, 99, 196, 199)
MIX = UnpairedOptions(text=0.2, motion=0.2, density=0.15, span=3.0)


def spread(number):
    """Numbers in [0, 1) that fill it evenly."""
    return number * 0.6180339887498949 % 1


def sample(number, subtask, frames=40, **others):
    return Sample(number, frames, CAPTIONS[number % len(CAPTIONS)], subtask, **others)


@pytest.fixture
def layout(tokenizer, tokens):
    return PairLayout(tokenizer, tokens, SUBTASKS | PRETRAIN, LayoutOptions(256, official=False))


@pytest.fixture
def official(layout):
    return replace(layout, options=LayoutOptions(256, official=True))


def is_code(slots):
    return slots.sources[:, 0] >= 0


def test_there_are_eighteen_ways_to_ask_and_three_in_pretraining():
    assert len(SUBTASKS) == 18
    assert [*PRETRAIN] == ["t2m", "m2t", "pred"]


@pytest.mark.parametrize("subtask", [*SUBTASKS.values(), *PRETRAIN.values()], ids=lambda subtask: subtask.name)
def test_nothing_is_left_to_fill_in(layout, subtask):
    task = TASKS[subtask.task]
    motions = layout._pieces(sample(0, subtask.name), task)
    for lines, codes in ((subtask.inputs, motions.inputs), (subtask.outputs, motions.outputs)):
        for line in lines:
            filling = Filling(CAPTIONS[0], 40, 20.0, 1.0, codes, motions.masks)
            parts = fill_parts(line, filling, layout.tokens, official=False)
            words = "".join(part for part in parts if isinstance(part, str))
            assert "<" not in words
            assert words.isascii()
            # A masked motion is one of two pieces.
            assert sum(not isinstance(part, str) for part in parts) == min(len(codes), 1)
            assert ("40" in words) == ("<Frame_" in line)
            assert ("2.0" in words) == ("<Second_" in line)


@pytest.mark.parametrize("frames", LENGTHS)
def test_a_prefix_is_a_fifth_of_the_frames_and_what_follows_is_the_answer(layout, frames):
    [example] = layout([sample(0, "pred", frames)])
    assert example.clips == (ClipRange(0, frames // 5), ClipRange(frames // 5, frames))
    for name, clip in (("source", 0), ("target", 1)):
        slots = example.streams[name]
        assert slots.sources[is_code(slots)].tolist() == [
            [clip, code] for code in range(codes_of(example.clips[clip].frames))
        ]


@pytest.mark.parametrize("frames", LENGTHS)
def test_what_is_hidden_is_the_middle_half_of_the_frames(layout, frames):
    [example] = layout([sample(0, "inbetween", frames)])
    head, tail, whole = example.clips
    assert (head, tail, whole) == (
        ClipRange(0, frames // 4),
        ClipRange(frames * 3 // 4, frames),
        ClipRange(0, frames),
    )
    source, target = example.streams["source"], example.streams["target"]
    masks = source.ids == layout.tokens.mask
    assert is_code(source).sum() + masks.sum() == is_code(target).sum() == codes_of(frames)
    assert 0.3 <= masks.sum() / codes_of(frames) <= 0.55
    before = np.flatnonzero(source.sources[:, 0] == 0)[-1]
    behind = np.flatnonzero(source.sources[:, 0] == 1)[0]
    assert np.flatnonzero(masks).tolist() == [*range(before + 1, behind)]


def test_lengths_are_told_in_frames(layout, tokenizer):
    [example] = layout([sample(0, "m2l_count_frame", 61)])
    assert "61" in tokenizer.decode(example.streams["target"].targets).replace(" ", "")
    assert len(example.clips) == 1
    assert is_code(example.streams["source"]).sum() == 16


def test_officially_lengths_are_told_in_codes_and_pieces_are_cut_from_the_whole_clip(official, tokenizer):
    kept = next(draw for draw in np.arange(0, 1, 0.1) if draws_of(sample(0, "", draw=draw)).random() >= 1 / 3)
    counted, predicted, masked = official(
        [sample(number, name, 163, draw=kept) for number, name in enumerate(("m2l_count_frame", "pred", "inbetween"))]
    )
    assert "40" in tokenizer.decode(counted.streams["target"].targets).replace(" ", "")
    assert predicted.clips == (ClipRange(0, 160),)
    slots = predicted.streams["source"], predicted.streams["target"]
    assert [side.sources[is_code(side), 1].tolist() for side in slots] == [[0, 1], [*range(2, 40)]]
    assert (masked.streams["source"].ids == official.tokens.mask).sum() == 5


def test_officially_a_third_of_the_clips_loses_a_code_at_an_end(official):
    examples = official([sample(number, "m2t", draw=spread(number)) for number in range(400)])
    codes = [example.streams["source"].sources[is_code(example.streams["source"]), 1].tolist() for example in examples]
    kinds = [(part[0], len(part)) for part in codes]
    shares = {kind: kinds.count(kind) / len(kinds) for kind in kinds}
    assert {*shares} == {(0, 10), (0, 9), (1, 9)}
    assert abs(shares[0, 10] - 2 / 3) < 0.06
    assert abs(shares[0, 9] - 1 / 6) < 0.05


def code_at(clip, number):
    """What a made-up encoder gives."""
    return (clip.start + 3 * clip.stop + 5 * number) % CODES


def filled(slots, clips, tokens):
    """The ids with the codes of the clips."""
    ids = slots.ids.copy()
    for place in np.flatnonzero(is_code(slots)):
        clip, number = slots.sources[place]
        ids[place] = tokens.first_code + code_at(clips[clip], int(number))
    return ids


@pytest.mark.parametrize("plan", ["ours", "official", "alone"])
@pytest.mark.parametrize("name", [*SUBTASKS])
def test_known_codes_fill_the_ids_that_encoded_clips_fill(layout, plan, name):
    layout = replace(layout, options=LayoutOptions(256, plan == "official"), unpaired=MIX if plan == "alone" else None)
    for draw in (0.1, 0.3, 0.5, 0.9):
        asked = sample(0, name, 61, draw=draw)
        ranges = encoded_ranges([TASKS[SUBTASKS[name].task]], 61, plan == "official")
        codes = {clip: np.array([code_at(clip, i) for i in range(codes_of(clip.frames))]) for clip in ranges}
        online, cached = layout([asked, replace(asked, codes=codes)])
        assert cached.clips == ()
        assert not is_code(cached.streams["source"]).any()
        for stream in ("source", "target"):
            ids = filled(online.streams[stream], online.clips, layout.tokens)
            np.testing.assert_array_equal(ids, cached.streams[stream].ids)


def test_the_decoder_reads_its_start_and_then_what_it_has_predicted(layout):
    for example in layout([sample(number, name, draw=spread(number)) for number, name in enumerate(SUBTASKS)]):
        target = example.streams["target"]
        assert target.ids[0] == DECODER_START
        assert target.targets[-1] == layout.tokens.end
        np.testing.assert_array_equal(target.ids[1:], target.targets[:-1])
        assert target.weights.all()
        assert example.streams["source"].ids[-1] == layout.tokens.end


def test_packed_samples_keep_their_positions_ids_and_clips(layout):
    layout = replace(layout, unpaired=MIX)
    names = [*SUBTASKS] * 2
    frames = [24 + 7 * number % 100 for number in range(len(names))]
    examples = layout([sample(n, name, frames[n], draw=spread(n)) for n, name in enumerate(names)])
    shape = RowShape((("source", 200), ("target", 200)), ((64, 6), (128, 5)), samples=8)
    rows = pack([size_of(example, shape, layout.schema) for example in examples], shape)
    assert max(map(len, rows)) > 2
    batch = build(
        [[examples[i] for i in row] for row in rows],
        lambda number, person: np.arange(frames[number])[:, None] + 1000.0 * number,
        shape,
        layout.schema,
        1,
    )
    firsts = np.concatenate([clips[:, :, 0, 0] for clips in batch.clips], axis=1)
    for row, numbers in enumerate(rows):
        for segment, number in enumerate(numbers, start=1):
            for name, slots in examples[number].streams.items():
                stream = batch.streams[name]
                here = stream.segments[row] == segment
                np.testing.assert_array_equal(stream.ids[row, here], slots.ids)
                np.testing.assert_array_equal(stream.positions[row, here], np.arange(len(slots.ids)))
                of_clips = is_code(slots)
                np.testing.assert_array_equal(stream.sources[row, here, 0] >= 0, of_clips)
                np.testing.assert_array_equal(stream.sources[row, here, 1], slots.sources[:, 1])
                for clip, place in zip(slots.sources[of_clips, 0], stream.sources[row, here, 0][of_clips]):
                    assert firsts[row, place] == 1000 * number + examples[number].clips[clip].start


def kind_of(example, tokens):
    """Whether a sample is words alone, motion alone, or a pair."""
    if not np.isin(example.streams["source"].ids, tokens.sentinels).any():
        return "pair"
    return "motion" if example.clips else "text"


def test_a_fifth_is_words_alone_and_a_fifth_motion_alone(layout):
    layout = replace(layout, unpaired=MIX)
    kinds = [kind_of(e, layout.tokens) for e in layout([sample(n, "t2m", draw=spread(n)) for n in range(1500)])]
    shares = [kinds.count(kind) / len(kinds) for kind in ("text", "motion", "pair")]
    np.testing.assert_allclose(shares, [0.2, 0.2, 0.6], atol=0.03)


def test_a_sample_does_not_depend_on_its_mates_nor_on_when_it_is_laid_out(layout):
    layout = replace(layout, unpaired=MIX)
    samples = [sample(n, name, draw=spread(n)) for n, name in enumerate(SUBTASKS)]
    for one, example in zip(reversed(samples), reversed(layout(samples))):
        [alone] = layout([one])
        assert alone.clips == example.clips
        for name, slots in alone.streams.items():
            np.testing.assert_array_equal(slots.ids, example.streams[name].ids)
    others = layout([replace(one, draw=(one.draw + 0.5) % 1) for one in samples])
    assert [e.clips for e in others] != [e.clips for e in layout(samples)]


def test_a_caption_without_words_is_not_corrupted(layout):
    layout = replace(layout, unpaired=replace(MIX, text=1.0, motion=0.0))
    [example] = layout([replace(sample(0, "t2m"), caption=" ")])
    assert kind_of(example, layout.tokens) == "pair"


def test_long_texts_lose_words_and_no_motion(layout):
    short = replace(layout, options=LayoutOptions(48, official=False))
    wordy = replace(sample(0, "m2t_caption", 61), caption=" ".join(CAPTIONS * 20))
    [example] = short([wordy])
    target = example.streams["target"]
    assert len(target.ids) == 48
    assert target.targets[-1] == layout.tokens.end
    [example] = replace(short, options=LayoutOptions(24, official=False))([wordy])
    assert len(example.streams["source"].ids) <= 24
    assert is_code(example.streams["source"]).sum() == 16


def test_long_texts_that_are_corrupted_keep_their_sentinels(layout):
    layout = replace(layout, options=LayoutOptions(48, official=False), unpaired=replace(MIX, text=1.0, motion=0.0))
    [example] = layout([replace(sample(0, "t2m"), caption=" ".join(CAPTIONS * 4))])
    sentinels = [[i for i in slots.ids if i in {*layout.tokens.sentinels}] for slots in example.streams.values()]
    assert 30 < len(example.streams["source"].ids) <= 48
    assert sentinels[0] == sentinels[1] != []


def test_motions_that_are_too_long_are_refused(layout):
    with pytest.raises(UserError, match=r"sample 3 takes \d+ tokens, 52 of which stand for motion; .* room for 40"):
        replace(layout, options=LayoutOptions(40, official=False))([sample(3, "m2t", 196)])


def test_officially_what_is_too_long_is_cut_before_its_end(official):
    [example] = replace(official, options=LayoutOptions(40, official=True))([sample(0, "m2t", 196)])
    source = example.streams["source"]
    assert len(source.ids) == 40
    assert source.ids[-1] == official.tokens.end
    assert is_code(source).sum() == 38


def test_an_unknown_sub_task_is_refused(layout):
    with pytest.raises(UserError, match="no templates for the sub-task 'dance'"):
        layout([sample(0, "dance")])


@pytest.fixture
def texts(layout):
    return TextLayout(layout.tokenizer, layout.tokens, SUBTASKS | PRETRAIN, layout.options)


@pytest.mark.parametrize("name", [*SUBTASKS])
def test_a_decoder_alone_is_trained_on_the_answer(layout, texts, name):
    [pair], [text] = layout([sample(0, name)]), texts([sample(0, name)])
    slots = text.streams["tokens"]
    predicted = slots.targets[slots.weights > 0]
    np.testing.assert_array_equal(predicted, pair.streams["target"].targets)
    np.testing.assert_array_equal(slots.targets[:-1], slots.ids[1:])
    assert slots.weights[-1] == 0
    assert text.clips == pair.clips
    # Where codes are predicted, their sources stand in the next slot.
    np.testing.assert_array_equal(
        slots.sources[1:][slots.weights[:-1] > 0][:, 1][:-1], pair.streams["target"].sources[1:, 1]
    )


def test_a_decoder_alone_predicts_all_of_what_has_no_question(texts):
    words, motion = (
        replace(texts, unpaired=UnpairedOptions(text, 1 - text, 0.15, 3.0))([sample(0, "t2m")])[0] for text in (1, 0)
    )
    for example, codes in ((words, 0), (motion, 10)):
        slots = example.streams["tokens"]
        assert slots.weights.tolist() == [1.0] * (len(slots.ids) - 1) + [0.0]
        assert is_code(slots).sum() == codes
        assert slots.ids[-1] == texts.tokens.end


def test_a_long_text_of_a_decoder_alone_loses_words_of_question_or_answer(texts):
    short = replace(texts, options=LayoutOptions(40, official=False))
    wordy = " ".join(CAPTIONS * 20)
    for name, predicted in (("t2m", 13), ("m2t", 40 - 14)):
        [example] = short([replace(sample(0, name), caption=wordy)])
        slots = example.streams["tokens"]
        assert len(slots.ids) == 40
        assert slots.weights.sum() == pytest.approx(predicted, abs=2)
        assert is_code(slots).sum() == 10


def test_a_window_is_a_random_part_of_a_clip():
    layout = TokenizerLayout(window=64)
    parts = [layout([sample(0, "", 67, draw=spread(number))])[0].clips for number in range(20)]
    assert {*parts} == {(ClipRange(start, start + 64),) for start in range(4)}
    assert layout([sample(0, "", 50)])[0].clips == (ClipRange(0, 50),)
    assert TokenizerLayout()([sample(0, "", 196)])[0].clips == (ClipRange(0, 196),)


def test_the_tokenizer_sees_a_clip_of_each_person():
    two = replace(sample(0, "", 67, draw=0.5), persons=2)
    assert TokenizerLayout(window=64)([two])[0].clips == (ClipRange(2, 66), ClipRange(2, 66, 1))
    persons, frames = (1, 2, 2, 1), (67, 67, 50, 40)
    visits = Visits(
        seed=1,
        subtasks=(("clip", 1.0),),
        shuffle=True,
        crop=False,
        lengths=frames,
        captions=((),) * len(frames),
        extras=[(count, {}) for count in persons],
    )
    layout, order = TokenizerLayout(window=64), visits.order(0)
    table = visits.tabulate(order, visits.draws(0, 0, len(order)))
    told = layout.sizes(table).clips
    found = [[clip.frames for clip in example.clips] for example in layout(table.samples())]
    assert [[count for count in row if count >= 0] for row in told.tolist()] == found
    assert sorted(map(len, found)) == [1, 1, 2, 2]
