"""MotionGPT3's answers: motions by seed, texts token by token."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.systems.motiongpt3 import MotionGPT3, MotionOptions, TextOptions
from motiongpt3_jax.systems.motiongpt3.forward import streams
from motiongpt3_jax.systems.motiongpt3.respond import next_scores, understand
from tests.systems.tiny import CONFIG, GIVEN, IDS, MADE, example, rows, variables

SYSTEM = MotionGPT3(CONFIG)
VARIABLES = variables()
OPTIONS = MotionOptions(sampler="ancestral", steps=3, guidance_scale=2.0)
FEW = TextOptions(end=IDS.end, banned=(IDS.start_of_motion, IDS.end_of_motion), max_new=6)

FIRST = example(1, [5, 7, *MADE, IDS.end], (), inputs=0)
SECOND = example(2, [11, 3, 8, 2, *MADE, IDS.end], (), inputs=0)
SHOWN = example(3, [*GIVEN, 4], ((0, 9),), inputs=1)
ALSO_SHOWN = example(4, [6, 12, *GIVEN, 4, 2], ((3, 16),), inputs=1)


@partial(jax.jit, static_argnames="options")
def move(batch, seeds, frames, options=OPTIONS):
    latents = SYSTEM.latents(VARIABLES, SYSTEM.conditions(VARIABLES, batch), seeds, options)
    return SYSTEM.features(VARIABLES, latents, frames, 12)


@jax.jit
def write(variables, batch):
    return SYSTEM.respond_text(variables, batch, FEW)


@jax.jit
def scores_after(batch, last):
    """Logits of the text slot `last` of every row, from one pass over everything."""
    modules, params = SYSTEM.modules, VARIABLES.params
    latents = understand(modules, VARIABLES, batch, None)
    hidden = modules.decoder.apply({"params": params["decoder"]}, streams(modules, params, batch, latents))["text"]
    hidden = jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
    return modules.text.apply({"params": params["vocabulary"]["text"]}, hidden, method="logits")


@pytest.fixture(scope="module")
def moved():
    return move(rows([FIRST], [SECOND]), jnp.array([3, 4]), jnp.array([12, 8]))


def test_a_motion_depends_on_its_own_request_and_seed_alone(moved):
    swapped = move(rows([SECOND], [FIRST]), jnp.array([4, 3]), jnp.array([8, 12]))
    np.testing.assert_allclose(swapped[::-1], moved, rtol=1e-4, atol=1e-4)
    other = move(rows([FIRST], [SECOND]), jnp.array([3, 5]), jnp.array([12, 8]))
    np.testing.assert_allclose(other[0], moved[0], rtol=1e-4, atol=1e-4)
    assert jnp.abs(other[1] - moved[1]).max() > 1e-3


def test_a_motion_is_as_long_as_asked(moved):
    assert moved.shape == (2, 12, CONFIG.vae.features)
    assert jnp.abs(moved[0, -1]).max() > 0
    assert not moved[1, 8:].any()


def test_a_motion_depends_on_its_words(moved):
    same = move(rows([FIRST], [FIRST]), jnp.array([3, 3]), jnp.array([12, 12]))
    np.testing.assert_allclose(same[0], same[1], rtol=1e-4, atol=1e-4)
    other = move(rows([SECOND], [SECOND]), jnp.array([3, 3]), jnp.array([12, 12]))
    assert jnp.abs(other[0] - same[0]).max() > 1e-3


def test_text_token_by_token_equals_reading_everything_again():
    batch = rows([SHOWN], [ALSO_SHOWN])
    found = np.asarray(write(VARIABLES, batch))
    text = batch.streams["text"]
    slots = (text.segments > 0).sum(axis=1)
    position = np.max([s.positions.max(axis=1) for s in batch.streams.values()], axis=0)
    seen, done = np.zeros((2, IDS.text_vocabulary), bool), np.zeros(2, bool)
    for step in range(FEW.max_new):
        logits = scores_after(batch.replace(streams={**batch.streams, "text": text}), slots + step - 1)
        best = np.asarray(next_scores(logits, seen, FEW).argmax(axis=1))
        token = np.where(done, IDS.end, best)
        np.testing.assert_array_equal(found[:, step], token)
        seen[np.arange(2), token] = True
        done |= token == IDS.end
        position = position + 1
        text = jax.tree.map(np.copy, text)
        for name, value in (("ids", token), ("positions", position), ("segments", 1), ("attended", True)):
            getattr(text, name)[np.arange(2), slots + step] = value
    assert len({tuple(row) for row in found}) == 2


def test_a_text_ends_with_its_end_and_nothing_behind():
    batch = rows([SHOWN], [ALSO_SHOWN])
    first = int(write(VARIABLES, batch)[0, 0])
    # With twice the row of what would have come first, the end comes first.
    params = jax.tree.map(np.copy, VARIABLES.params)
    params["vocabulary"]["text"]["table"][IDS.end] = 2 * params["vocabulary"]["text"]["table"][first]
    ended = np.asarray(write(VARIABLES.replace(params=params), batch))
    assert (ended[0] == IDS.end).all()
    stops = [int(np.argmax(row == IDS.end)) if (row == IDS.end).any() else len(row) for row in ended]
    assert all((row[stop:] == IDS.end).all() for row, stop in zip(ended, stops))


def test_scores_of_written_ids_are_penalised_and_banned_ones_never_win():
    logits = jnp.array([[2.0, -2.0, 4.0, 9.0, 5.0, -jnp.inf]])
    seen = jnp.array([[True, True, False, False, False]])
    found = next_scores(logits, seen, TextOptions(end=0, banned=(3,), repetition_penalty=2.0))
    np.testing.assert_allclose(found, [[1.0, -4.0, 4.0, -jnp.inf, 5.0]])
