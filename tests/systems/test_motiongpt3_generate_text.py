"""MotionGPT3's texts against readings of everything again."""

import itertools
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models.token_sampling import process_logits, top_p_logits
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3, TextOptions
from motiongpt3_jax.systems.motiongpt3.forward import streams
from motiongpt3_jax.systems.motiongpt3.generate_motion import understand
from tests.quick import one_quick
from tests.systems.tiny import CONFIG, GIVEN, IDS, example, rows, variables

SYSTEM = MotionGPT3(CONFIG)
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
def write(batch, options, seeds=None, changed=None):
    weights = changed or variables(seed=3)
    return SYSTEM.respond_text(weights, batch, SYSTEM.understand(weights, batch), seeds, options)


@jax.jit
def logits_after(batch, last):
    """Logits of the text slot `last` of every row, from one pass over everything."""
    modules, weights = SYSTEM.modules, variables(seed=3)
    params, latents = weights.params, understand(modules, weights, batch, None)
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
    return np.asarray(process_logits(read_again(batch, row, texts), seen, len(texts[0]), options))


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


@one_quick("row", [0, 1])
def test_the_best_token_is_that_of_reading_everything_again(row):
    found = np.asarray(write(BOTH, BEST))
    assert len({tuple(text) for text in found}) == 2
    for length in range(BEST.max_new):
        text = found[row, :length]
        if (text == IDS.end).any():
            assert found[row, length] == IDS.end
        else:
            assert found[row, length] == scores_again(BOTH, row, [tuple(text)], BEST)[0].argmax()


@one_quick("row", [0, 1])
def test_a_token_is_drawn_from_the_scores_of_reading_everything_again_with_its_own_key(row):
    seeds = [5, 9]
    found = np.asarray(write(BOTH, DRAWN, jnp.array(seeds)))
    assert (found != np.asarray(write(BOTH, BEST))).any(axis=1).all()
    for length in range(DRAWN.max_new):
        text = tuple(found[row, :length])
        key = jax.random.fold_in(jax.random.key(seeds[row]), length)
        drawn = jax.random.categorical(key, top_p_logits(scores_again(BOTH, row, [text], DRAWN), DRAWN)[0])
        assert found[row, length] == (IDS.end if IDS.end in text else drawn)


def test_a_drawn_text_depends_on_its_own_row_and_seed_alone():
    found = np.asarray(write(BOTH, DRAWN, jnp.array([5, 9])))
    swapped = write(rows([ALSO_SHOWN], [SHOWN]), DRAWN, jnp.array([9, 5]))
    np.testing.assert_array_equal(swapped[::-1], found)
    other = np.asarray(write(rows([SHOWN], [SHOWN]), DRAWN, jnp.array([5, 6])))
    np.testing.assert_array_equal(other[0], found[0])
    assert (other[1] != found[0]).any()


@one_quick("temperature", [0.5, 2.0])
def test_drawn_tokens_have_the_chances_of_the_tempered_scores(temperature):
    options, count = replace(BEST, temperature=temperature, max_new=1), 4000
    many = jax.tree.map(lambda x: np.repeat(x[:1], count, axis=0), BOTH)
    found = np.bincount(np.asarray(write(many, options, jnp.arange(count)))[:, 0], minlength=IDS.text_vocabulary)
    wanted = np.asarray(jax.nn.softmax(scores_again(BOTH, 0, [()], BEST)[0] / temperature))
    np.testing.assert_array_less(abs(found / count - wanted), 4 * np.sqrt(wanted * (1 - wanted) / count) + 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("only_the_best", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-6}], ids=str)
def test_draws_from_the_best_token_alone_are_the_best_ones(only_the_best):
    found = write(BOTH, replace(DRAWN, **only_the_best), jnp.array([5, 9]))
    np.testing.assert_array_equal(found, write(BOTH, BEST))


@one_quick(
    "options",
    [
        replace(FEW_WORDS, beams=2, max_new=6),
        replace(FEW_WORDS, beams=3, max_new=6, length_penalty=0.0, repetition_penalty=1.5),
        replace(FEW_WORDS, beams=5, max_new=6, length_penalty=2.0),
        replace(BEST, beams=3, stops=(2, 5)),
        replace(FEW_WORDS, beams=16, stops=(2,), max_new=2),
    ],
    replace(BEST, beams=3, stops=(2, 5)),
    ids=["two", "sum", "long", "stops", "more beams than first tokens"],
)
def test_beams_find_what_a_search_that_reads_everything_again_finds(options):
    found = np.asarray(write(BOTH, options))
    wanted = [search(BOTH, row, options) for row in range(2)]
    np.testing.assert_array_equal(found, [text for text, _ in wanted])
    assert sum(ended for _, ended in wanted) > 0


@pytest.mark.slow
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


@one_quick("options", [BEST, replace(BEST, beams=2, length_penalty=0.0)], ids=["best", "beams"])
def test_a_text_ends_with_its_end_and_nothing_behind(options):
    first = int(write(BOTH, BEST)[0, 0])
    # With twice the row of what would have come first, the end comes first.
    params = jax.tree.map(np.copy, variables(seed=3).params)
    params["vocabulary"]["text"]["table"][IDS.end] = 2 * params["vocabulary"]["text"]["table"][first]
    ended = np.asarray(write(BOTH, options, changed=variables(seed=3).replace(params=params)))
    assert (ended[0] == IDS.end).all()
    stops = [int(np.argmax(row == IDS.end)) if (row == IDS.end).any() else len(row) for row in ended]
    assert all((row[stop:] == IDS.end).all() for row, stop in zip(ended, stops))


@pytest.mark.slow
def test_layers_one_by_one_write_what_stacked_ones_do():
    options = replace(FEW_WORDS, beams=3, max_new=6)
    np.testing.assert_array_equal(
        write(BOTH, options, changed=SYSTEM.unstacked(variables(seed=3))), write(BOTH, options)
    )


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 2])
def test_a_text_that_stops_keeps_the_id_that_stopped_it(place):
    found = np.asarray(write(BOTH, BEST))[0]
    stop = int(found[place])
    assert stop != IDS.end
    first = int(np.argmax(found == stop))
    stopped = np.asarray(write(BOTH, replace(BEST, stops=(stop,))))[0]
    np.testing.assert_array_equal(stopped, filled(found[: first + 1], BEST))


def test_drawing_without_seeds_is_refused():
    with pytest.raises(ValueError, match="give each request a seed"):
        jax.eval_shape(partial(SYSTEM.respond_text, options=DRAWN), variables(seed=3), BOTH, None, None)
