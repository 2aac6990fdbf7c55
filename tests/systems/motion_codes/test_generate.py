"""Decoding of motions and texts with small models of both kinds, beside their forward pass."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import TextOptions
from motiongpt3_jax.systems.interface import Question
from motiongpt3_jax.systems.motion_codes import generate
from motiongpt3_jax.systems.motion_codes.codes import codes_of_batch, encode_clips, filled
from motiongpt3_jax.systems.motion_codes.generate import MotionOptions, code_options
from motiongpt3_jax.systems.motion_codes.language import logits_of
from motiongpt3_jax.systems.motiongpt.kind import KIND
from tests.quick import one_quick
from tests.systems.motiongpt.small import SENTENCES, batch_of, clip, questions, spec_of, variables_of

GREEDY = MotionOptions(temperature=0.0, top_k=0)
DRAWN = MotionOptions()
MOST = 12


@cache
def model(lm):
    """(answers, modules, variables)."""
    spec = spec_of(lm)
    system = KIND.make_system(spec)
    return KIND.make_answers(spec, system), system.modules, variables_of(system)


def decode(lm, batch, options, motion, seeds=None, frames=None):
    """Tokens that follow each row's question."""
    _, modules, variables = model(lm)

    @jax.jit
    def run(variables, batch, seeds, frames):
        values = generate.read(modules, variables, batch)
        prefix = generate.prefill(modules, options.cache_slots, variables, values["batch"], values["codes"])["prefix"]
        return generate.decode(modules, options, motion, variables, prefix, seeds, frames)["tokens"]

    return np.asarray(run(variables, batch, seeds, frames))


def code_ids(lm, options=GREEDY):
    return code_options(model(lm)[0].tokens, options, MOST)


@partial(jax.jit, static_argnums=0)
def ids_of(modules, variables, batch):
    """The ids of each stream, with those of its clips' codes."""
    return filled(batch.streams, codes_of_batch(modules, variables, batch), modules.config.words)


@partial(jax.jit, static_argnums=0)
def logits_behind(modules, params, streams, ids):
    return logits_of(modules.language.vocabulary, params, modules.language.hidden(params, streams, ids))


def forward(lm, batch, texts):
    """Logits behind each question and what follows it, by one forward pass."""
    _, modules, variables = model(lm)
    name, texts = modules.language.written, np.asarray(texts)
    slots, ids = batch.streams[name], ids_of(modules, variables, batch)
    rows, count = texts.shape
    used = (slots.segments > 0).sum(axis=1)
    # Each row's new ids follow its question, padding comes last.
    longer = np.zeros((rows, slots.ids.shape[1] + count), np.int32)
    for row in range(rows):
        longer[row, : used[row] + count] = [*np.asarray(ids[name])[row, : used[row]], *texts[row]]
    real = np.arange(longer.shape[1]) < (used + count)[:, None]
    positions = np.broadcast_to(np.arange(longer.shape[1], dtype=np.int32), longer.shape)
    new = replace(slots, ids=longer, positions=positions, segments=real.astype(np.int32), attended=real)
    streams = {**batch.streams, name: replace(new, sources=None)}
    logits = np.asarray(logits_behind(modules, variables.params, streams, {**ids, name: longer}))
    return np.stack([logits[row, used[row] - 1 : used[row] - 1 + count] for row in range(rows)])


@one_quick("lm", ["t5", "gpt2"])
def test_greedy_codes_are_the_best_allowed_ones_of_a_forward_pass_over_the_whole_answer(lm):
    answers, modules, _ = model(lm)
    batch = batch_of(answers, questions(3), "motion", GREEDY)
    options = code_ids(lm)
    found = decode(lm, batch, options, True)
    logits = forward(lm, batch, found + modules.config.words)[..., modules.config.words : modules.ids]
    logits[..., list(options.banned)] = -np.inf
    logits[:, 0, options.end] = -np.inf
    for row, scores in zip(found, logits):
        length = np.flatnonzero(row == options.end)[0] + 1 if options.end in row else len(row)
        np.testing.assert_array_equal(row[:length], scores[:length].argmax(axis=-1))
    assert len(np.unique(found)) > 2


@one_quick("lm", ["t5", "gpt2"], "gpt2")
def test_greedy_words_about_a_clip_are_those_of_a_forward_pass(lm):
    answers, modules, _ = model(lm)
    asked = [Question("what is <Motion_Placeholder>", (clip(frames, frames),)) for frames in (13, 24)]
    options = answers.text_options(max_new=6)
    batch = batch_of(answers, asked, "text", options)
    found = decode(lm, batch, options, False)
    logits = forward(lm, batch, found)[..., : modules.ids]
    logits[..., list(options.banned)] = -np.inf
    np.testing.assert_array_equal(found, logits.argmax(axis=-1))
    assert (found < modules.config.words).all()


@one_quick("options", [GREEDY, DRAWN, replace(GREEDY, beams=2)], ids=["greedy", "drawn", "beams"])
def test_motions_of_one_batch_have_as_many_codes_as_each_is_asked_for(options):
    answers = model("t5")[0]
    frames = np.array([5, 40, 41, 43, 0, 0])
    batch = batch_of(answers, questions(6), "motion", options)
    chosen = code_ids("t5", options)
    tokens = decode("t5", batch, chosen, True, jnp.arange(6), frames)
    counts = (np.cumsum(tokens == chosen.end, axis=1) == 0).sum(axis=1)
    np.testing.assert_array_equal(counts[:4], [2, 10, 11, 11])
    assert (counts[4:] >= 1).all()
    for row, count in zip(tokens, counts):
        assert (row[:count] < chosen.end - 1).all()
        assert (row[count:] == chosen.end).all()


def test_a_rendered_motion_is_cut_to_its_frames_and_depends_on_its_own_codes_alone():
    _, modules, variables = model("t5")
    end = code_ids("t5").end
    tokens = np.full((3, 4), end)
    tokens[0, :2], tokens[1, :4], tokens[2, :2] = [3, 1], [5, 4, 2, 0], [3, 1]
    render = jax.jit(partial(generate.render, modules, end))
    found = render(variables, tokens, np.array([7, 0, 0]))
    np.testing.assert_array_equal(found["frames"], [7, 16, 8])
    np.testing.assert_allclose(found["features"][0, :7], found["features"][2, :7], atol=1e-5)
    assert not np.asarray(found["features"][0, 7:]).any()
    assert np.abs(found["features"][1]).min(axis=-1).max() > 0
    alone = render(variables, tokens[[0]], np.array([7]))
    np.testing.assert_allclose(found["features"][0], alone["features"][0], atol=1e-5)


def test_a_clips_codes_do_not_depend_on_its_batch_mates_and_cover_its_last_frames():
    answers, modules, variables = model("t5")
    clips = [clip(frames, frames) for frames in (13, 30)]
    asked = [Question("<Motion_Placeholder>", (x,)) for x in clips]
    options = answers.text_options()

    def ids(some):
        batch = batch_of(answers, some, "text", options)
        return np.asarray(ids_of(modules, variables, batch)["source"])

    both, alone = ids(asked), ids(asked[:1])
    np.testing.assert_array_equal(both[0, : alone.shape[1]], alone[0])
    # Thirteen frames are four codes between the marks, and what lies in the last frame alone counts.
    marks = (modules.config.words + modules.config.vqvae.codes, modules.config.words + modules.config.vqvae.codes + 1)
    start, stop = (int(np.flatnonzero(alone[0] == mark)[0]) for mark in marks)
    assert stop - start - 1 == 4
    last = np.stack([clips[0], np.concatenate([clips[0][:-1], clip(1, 5)])])
    vectors, counts = jax.jit(encode_clips, static_argnums=0)(modules, variables, last, np.full(2, 13))
    assert counts.tolist() == [4, 4]
    assert np.abs(vectors[0, 3] - vectors[1, 3]).max() > 1


@pytest.mark.parametrize("lm", ["t5", "gpt2"])
def test_an_answer_that_goes_on_begins_with_its_words_and_the_codes_of_its_motion(lm):
    answers, modules, _ = model(lm)
    answer, made = f"{SENTENCES[0]} <Motion_Placeholder>", clip(9, 1)
    options = answers.text_options(begins_motion=True)
    asked = Question("show <Motion_Placeholder>", (clip(12),), answer, (("hello", "yes"),), (made,))
    example = answers.example(0, asked, "text", options)
    written = example.streams[modules.language.written]
    tokens = answers.tokens
    assert [piece.frames for piece in example.clips] == [12, 9]
    assert written.sources[written.sources[:, 0] == 1].tolist() == [[1, 0], [1, 1], [1, 2]]
    assert written.ids[-1] == tokens.end_of_motion
    motion = answers.example(0, replace(asked, answer="so", answer_clips=()), "motion", DRAWN).streams[
        modules.language.written
    ]
    assert motion.ids[-1] == tokens.start_of_motion
    assert options.stops == (tokens.start_of_motion,)
    assert tokens.start_of_motion in answers.text_options().banned
    assert {*tokens.specials} - {tokens.end} <= {*options.banned}


def test_options_that_motions_do_not_have_are_refused_and_beams_are_not_drawn():
    answers = model("t5")[0]
    assert answers.motion_options(beams=4) == MotionOptions(0.0, 0, 1.0, 4)
    assert answers.motion_options(temperature=0.0).top_k == 0
    with pytest.raises(ValueError, match="beams of a motion is 2: beams are not drawn; set temperature to 0"):
        answers.motion_options(beams=2, temperature=1.0)
    with pytest.raises(ValueError, match="there is no option 'sampler'"):
        answers.motion_options(sampler="ddim")
    assert isinstance(answers.text_options(max_new=3), TextOptions)
