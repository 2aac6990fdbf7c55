"""A system of two streams that do not share their positions: it packs, trains and decodes with the same ground."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from motiongpt3_jax.training import restore_variables
from motiongpt3_jax.training import run as train
from tests.quick import one_quick
from tests.systems.translate.system import SHAPE, TARGET, Translate, TranslateData, TranslateObjective, examples, packed
from tests.training.toy import adamw, stage

STEPS = 300


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained run."""
    folder = tmp_path_factory.mktemp("translate")
    learn = stage(
        "learn",
        loss="translation",
        objective=TranslateObjective(),
        steps=STEPS,
        optimizer=adamw(learning_rate=2e-2),
        log_every=STEPS // 10,
        evaluate_every=0,
        checkpoint_every=STEPS,
    )
    train(Translate(), [learn], lambda stage: TranslateData(), folder)
    return folder


def test_targets_lie_in_the_target_stream_alone_and_both_count_positions_from_0():
    batch = packed(examples(0, 6), SHAPE)
    source, target = batch.streams["source"], batch.streams["target"]
    assert source.targets is None
    assert source.weights is None
    assert target.sources is None
    assert not batch.extra
    assert len(batch.samples) < 6
    for slots in (source, target):
        for row, segment in _samples(slots):
            own = slots.positions[row][slots.segments[row] == segment]
            np.testing.assert_array_equal(own, np.arange(len(own)))
    read, wanted = target.ids[target.weights > 0], target.targets[target.weights > 0]
    begins = read == TARGET["begin"]
    np.testing.assert_array_equal(read[1:][~begins[1:]], wanted[:-1][~begins[1:]])


def _samples(slots):
    return [(row, segment) for row in range(len(slots.segments)) for segment in {*slots.segments[row]} - {0}]


@one_quick("training", [True, False])
def test_packing_changes_no_loss(training):
    system, six = Translate(), examples(0, 6)
    variables = jax.jit(system.init)(jax.random.key(0))

    @jax.jit
    def terms(variables, batch):
        draws = system.draw(jax.random.key(1), batch, training)
        return system.translation(variables, batch, draws, TranslateObjective())

    together, apart = (terms(variables, packed(six, shape)) for shape in (SHAPE, replace(SHAPE, samples=1)))
    np.testing.assert_allclose(together.sums["words"], apart.sums["words"], rtol=1e-5)
    assert together.counts["words"] == apart.counts["words"] > 6


@pytest.mark.slow
def test_the_loss_falls(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
def test_greedy_decoding_translates_what_it_never_saw(run):
    held_out = examples(10**8, 16)
    _, _, variables = restore_variables(run)
    batch = packed(held_out, replace(SHAPE, samples=1))
    words = np.asarray(jax.jit(Translate().translate)(variables, batch))
    right = 0
    for example, row in zip(held_out, words, strict=True):
        wanted = example.streams["target"].targets
        right += np.array_equal(row[: len(wanted)], wanted[: len(row)])
    assert right >= 14
