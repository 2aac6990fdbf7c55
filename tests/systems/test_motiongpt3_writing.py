"""MotionGPT3's texts against readings of everything again: the best token, drawn ones, beams."""

import itertools
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.systems.motiongpt3 import MotionGPT3, TextOptions
from motiongpt3_jax.systems.motiongpt3.forward import streams
from motiongpt3_jax.systems.motiongpt3.respond import understand
from motiongpt3_jax.systems.motiongpt3.writing import best_continuations, next_scores
from tests.systems.tiny import CONFIG, GIVEN, IDS, example, rows, variables

SYSTEM = MotionGPT3(CONFIG)
VARIABLES = variables()
MARKERS = (IDS.start_of_motion, IDS.end_of_motion)
BEST = TextOptions(end=IDS.end, banned=MARKERS, max_new=6)
DRAWN = replace(BEST, temperature=1.5)
FEW_WORDS = replace(BEST, banned=(*range(3, IDS.end), *MARKERS), max_new=3)
"""Three words and the end."""

SHOWN = example(3, [*GIVEN, 4], ((0, 9),), inputs=1)
ALSO_SHOWN = example(4, [6, 12, *GIVEN, 4, 2], ((3, 16),), inputs=1)
BOTH = rows([SHOWN], [ALSO_SHOWN])
READINGS = 4 ** (FEW_WORDS.max_new - 1)


@partial(jax.jit, static_argnames="options")
def write(batch, options, seeds=None, variables=VARIABLES):
    return SYSTEM.respond_text(variables, batch, options, seeds)


@jax.jit
def logits_after(batch, last):
    """Logits of the text slot `last` of every row, from one pass over everything."""
    modules, params = SYSTEM.modules, VARIABLES.params
    latents = understand(modules, VARIABLES, batch, None)
    hidden = modules.decoder.apply({"params": params["decoder"]}, streams(modules, params, batch, latents))["text"]
    hidden = jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
    return modules.text.apply({"params": params["vocabulary"]["text"]}, hidden, method="logits")


def read_again(batch, row, texts):
    """Logits that follow a row's prompt and each of some texts of one length."""
    assert len(texts) <= READINGS
    batch = jax.tree.map(lambda x: np.repeat(x[row : row + 1], READINGS, axis=0), batch)
    text = batch.streams["text"]
    slots = int((text.segments[0] > 0).sum())
    first = max(int(s.positions.max()) for s in batch.streams.values()) + 1
    length = len(texts[0])
    behind = slice(slots, slots + length)
    text.ids[: len(texts), behind] = texts
    text.positions[:, behind] = first + np.arange(length)
    text.segments[:, behind], text.attended[:, behind] = 1, True
    last = np.full(READINGS, slots + length - 1)
    return np.asarray(logits_after(batch, last))[: len(texts), : IDS.text_vocabulary]


def scores_again(batch, row, texts, options):
    """The same, as the next tokens are chosen from them."""
    seen = np.zeros((len(texts), IDS.text_vocabulary), bool)
    for place, text in enumerate(texts):
        seen[place, list(text)] = True
    return np.asarray(next_scores(read_again(batch, row, texts), seen, options))


def chances_again(batch, row, texts, options):
    """log p of every next token."""
    return np.asarray(jax.nn.log_softmax(scores_again(batch, row, texts, options)))


def filled(text, options):
    return [*text, *[options.end] * (options.max_new - len(text))]


def search(batch, row, options):
    """Beam search with everything read again: (its text, how many of its beams ended early)."""
    ends = (options.end, *options.stops)
    running, ended = [((), 0.0)], []
    for _ in range(options.max_new):
        chances = chances_again(batch, row, [text for text, _ in running], options)
        further = [
            ((*text, token), total + chance)
            for (text, total), row_chances in zip(running, chances)
            for token, chance in enumerate(row_chances)
            if np.isfinite(chance)
        ]
        further = sorted(further, key=lambda found: -found[1])[: options.beams - len(ended)]
        ended += [found for found in further if found[0][-1] in ends]
        running = [found for found in further if found[0][-1] not in ends]
        if not running:
            break
    best, _ = max(ended + running, key=lambda found: found[1] / len(found[0]) ** options.length_penalty)
    return filled(best, options), sum(len(text) < options.max_new for text, _ in ended)


@pytest.mark.parametrize("row", [0, 1])
def test_the_best_token_is_that_of_reading_everything_again(row):
    found = np.asarray(write(BOTH, BEST))
    assert len({tuple(text) for text in found}) == 2
    for length in range(BEST.max_new):
        text = found[row, :length]
        if (text == IDS.end).any():
            assert found[row, length] == IDS.end
        else:
            assert found[row, length] == scores_again(BOTH, row, [tuple(text)], BEST)[0].argmax()


@pytest.mark.parametrize("row", [0, 1])
def test_a_token_is_drawn_from_the_scores_of_reading_everything_again_with_its_own_key(row):
    seeds = [5, 9]
    found = np.asarray(write(BOTH, DRAWN, jnp.array(seeds)))
    assert (found != np.asarray(write(BOTH, BEST))).any(axis=1).all()
    for length in range(DRAWN.max_new):
        text = tuple(found[row, :length])
        key = jax.random.fold_in(jax.random.key(seeds[row]), length)
        drawn = jax.random.categorical(key, scores_again(BOTH, row, [text], DRAWN)[0])
        assert found[row, length] == (IDS.end if IDS.end in text else drawn)


def test_a_drawn_text_depends_on_its_own_row_and_seed_alone():
    found = np.asarray(write(BOTH, DRAWN, jnp.array([5, 9])))
    swapped = write(rows([ALSO_SHOWN], [SHOWN]), DRAWN, jnp.array([9, 5]))
    np.testing.assert_array_equal(swapped[::-1], found)
    other = np.asarray(write(rows([SHOWN], [SHOWN]), DRAWN, jnp.array([5, 6])))
    np.testing.assert_array_equal(other[0], found[0])
    assert (other[1] != found[0]).any()


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_drawn_tokens_have_the_chances_of_the_tempered_scores(temperature):
    options, count = replace(BEST, temperature=temperature, max_new=1), 4000
    many = jax.tree.map(lambda x: np.repeat(x[:1], count, axis=0), BOTH)
    found = np.bincount(np.asarray(write(many, options, jnp.arange(count)))[:, 0], minlength=IDS.text_vocabulary)
    wanted = np.asarray(jax.nn.softmax(scores_again(BOTH, 0, [()], BEST)[0] / temperature))
    np.testing.assert_array_less(abs(found / count - wanted), 4 * np.sqrt(wanted * (1 - wanted) / count) + 1e-6)


@pytest.mark.parametrize("only_the_best", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-6}], ids=str)
def test_draws_from_the_best_token_alone_are_the_best_ones(only_the_best):
    found = write(BOTH, replace(DRAWN, **only_the_best), jnp.array([5, 9]))
    np.testing.assert_array_equal(found, write(BOTH, BEST))


@pytest.mark.parametrize(
    "options",
    [
        replace(FEW_WORDS, beams=2, max_new=6),
        replace(FEW_WORDS, beams=3, max_new=6, length_penalty=0.0, repetition_penalty=1.5),
        replace(FEW_WORDS, beams=5, max_new=6, length_penalty=2.0),
        replace(BEST, beams=3, stops=(2, 5)),
        replace(FEW_WORDS, beams=16, stops=(2,), max_new=2),
    ],
    ids=["two", "sum", "long", "stops", "more beams than first tokens"],
)
def test_beams_find_what_a_search_that_reads_everything_again_finds(options):
    found = np.asarray(write(BOTH, options))
    wanted = [search(BOTH, row, options) for row in range(2)]
    np.testing.assert_array_equal(found, [text for text, _ in wanted])
    assert sum(ended for _, ended in wanted) > 0


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.5])
def test_beams_for_every_text_find_the_best_of_all_texts(length_penalty):
    options = replace(FEW_WORDS, beams=4**FEW_WORDS.max_new, length_penalty=length_penalty)
    found = np.asarray(write(BOTH, options))
    for row in range(2):
        scores = {}
        for length in range(options.max_new):
            texts = list(itertools.product(range(3), repeat=length))
            for text, chances in zip(texts, chances_again(BOTH, row, texts, options)):
                for token in (0, 1, 2, IDS.end):
                    scores[*text, token] = chances[token] + (scores[text] if text else 0.0)
        whole = {t: s for t, s in scores.items() if len(t) == options.max_new or t[-1] == IDS.end}
        best = max(whole, key=lambda text: whole[text] / len(text) ** length_penalty)
        np.testing.assert_array_equal(found[row], filled(best, options))


def test_a_text_that_ended_keeps_a_beam_and_what_holds_nothing_gains_none():
    options = TextOptions(end=3, beams=3)
    scores = jnp.log(jnp.array([[0.4, 0.3, 0.2, 0.1]])).repeat(6, axis=0)
    total = jnp.array([-0.5, -9.0, -jnp.inf, -1.0, -jnp.inf, -jnp.inf])
    done = jnp.array([False, True, False, True, True, False])
    parents, tokens, totals = best_continuations(scores, total, done, options)
    np.testing.assert_array_equal(parents[:4], [1, 0, 0, 3])
    np.testing.assert_array_equal(tokens[1:3], [0, 1])
    np.testing.assert_allclose(totals[:4], [-9.0, -0.5 + np.log(0.4), -0.5 + np.log(0.3), -1.0], rtol=1e-6)
    assert jnp.isneginf(totals[4:]).all()


@pytest.mark.parametrize("options", [BEST, replace(BEST, beams=2, length_penalty=0.0)], ids=["best", "beams"])
def test_a_text_ends_with_its_end_and_nothing_behind(options):
    first = int(write(BOTH, BEST)[0, 0])
    # With twice the row of what would have come first, the end comes first.
    params = jax.tree.map(np.copy, VARIABLES.params)
    params["vocabulary"]["text"]["table"][IDS.end] = 2 * params["vocabulary"]["text"]["table"][first]
    ended = np.asarray(write(BOTH, options, variables=VARIABLES.replace(params=params)))
    assert (ended[0] == IDS.end).all()
    stops = [int(np.argmax(row == IDS.end)) if (row == IDS.end).any() else len(row) for row in ended]
    assert all((row[stop:] == IDS.end).all() for row, stop in zip(ended, stops))


@pytest.mark.parametrize("place", [0, 2])
def test_a_text_that_stops_keeps_the_id_that_stopped_it(place):
    found = np.asarray(write(BOTH, BEST))[0]
    stop = int(found[place])
    assert stop != IDS.end
    first = int(np.argmax(found == stop))
    stopped = np.asarray(write(BOTH, replace(BEST, stops=(stop,))))[0]
    np.testing.assert_array_equal(stopped, filled(found[: first + 1], BEST))


def test_scores_of_written_ids_are_penalised_and_banned_ones_never_win():
    logits = jnp.array([[2.0, -2.0, 4.0, 9.0, 5.0, -jnp.inf]])
    seen = jnp.array([[True, True, False, False, False]])
    found = next_scores(logits, seen, TextOptions(end=0, banned=(3,), repetition_penalty=2.0))
    np.testing.assert_allclose(found, [[1.0, -4.0, 4.0, -jnp.inf, 5.0]])


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({}, [0, 1, 2, 3]),
        ({"top_k": 2}, [0, 2]),
        ({"top_k": 9}, [0, 1, 2, 3]),
        ({"top_p": 0.05}, [2]),
        ({"top_p": 0.49}, [2]),
        ({"top_p": 0.51}, [0, 2]),
        ({"top_p": 0.81}, [0, 2, 3]),
        ({"top_k": 2, "top_p": 0.62}, [2]),
        ({"top_k": 2, "top_p": 0.63}, [0, 2]),
        ({"temperature": 0.5, "top_p": 0.68}, [2]),
        ({"temperature": 0.5, "top_p": 0.69}, [0, 2]),
        ({"banned": (2,), "top_k": 1}, [0]),
        ({"repetition_penalty": 2.0, "top_k": 1}, [0]),
    ],
    ids=str,
)
def test_tokens_are_drawn_from_the_best_after_all_that_comes_before(limits, kept):
    chances = np.array([[0.3, 0.05, 0.5, 0.15]])
    seen = np.array([[False, False, True, False]])
    options = TextOptions(**{"end": 0, "temperature": 1.0, "repetition_penalty": 1.0, **limits})
    found = np.asarray(next_scores(jnp.log(chances) - 0.1, seen, options))[0]
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(found)), kept)
    if "repetition_penalty" not in limits:
        powers = chances[0, kept] ** (1 / options.temperature)
        np.testing.assert_allclose(jax.nn.softmax(found)[jnp.array(kept)], powers / powers.sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_new": 0}, "max_new of a text is 0: write at least 1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty of a text is 0.0"),
        ({"temperature": -1.0}, "temperature of a text is -1.0"),
        ({"temperature": float("nan")}, "temperature of a text is nan"),
        ({"top_k": -1}, "top_k of a text is -1"),
        ({"top_p": 0.0}, "top_p of a text is 0.0"),
        ({"top_p": 1.1}, "top_p of a text is 1.1"),
        ({"beams": 0}, "beams of a text is 0"),
        ({"beams": 2, "temperature": 1.0}, "beams are not drawn"),
        ({"length_penalty": float("inf")}, "length_penalty of a text is inf"),
        ({"stops": (20,)}, "an id that is banned cannot end a text"),
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_refused_in_one_sentence(wrong, said):
    with pytest.raises(ValueError, match=said):
        replace(BEST, **wrong)


def test_drawing_without_seeds_is_refused():
    with pytest.raises(ValueError, match="give each request a seed"):
        SYSTEM.respond_text(VARIABLES, BOTH, DRAWN)
