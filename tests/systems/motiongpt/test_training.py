"""MotionGPT's stages from config to checkpoints: they learn, resume to the bit, and leave alone what they must."""

import json
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

import motiongpt3_jax
from motiongpt3_jax.batch import Sample
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.data_pipelines.packing import build
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.inference.folder import plain, read_folder
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.systems.motion_codes.codes import codes_of_batch, codes_of_clips, fill_targets, filled
from motiongpt3_jax.systems.motiongpt.kind import KIND
from motiongpt3_jax.training import restore_variables
from tests.quick import one_quick
from tests.systems.motiongpt.conftest import FEW
from tests.systems.motiongpt.small import FEATURES, SENTENCES, clip, spec_of, variables_of

STAGES = ["tokenizer", "pretrain", "t2m"]


def test_every_stage_trains_and_its_loss_falls(trained_motiongpt):
    lines = [json.loads(line) for line in (trained_motiongpt / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if line["kind"] == "train"]
    assert [*dict.fromkeys(line["stage"] for line in lines)] == STAGES
    for stage in STAGES[:2]:
        losses = [line["loss"] for line in lines if line["stage"] == stage]
        assert np.mean(losses[-9:]) < 0.9 * np.mean(losses[:9]), stage
    assert {"perplexity", "used_codes"} <= lines[0].keys()
    assert sorted(path.name[:-13] for path in (trained_motiongpt / "samples").iterdir())[-1] == "tokenizer"


def test_each_stage_moves_its_own_arrays_alone(trained_motiongpt):
    before, after = (restore_variables(trained_motiongpt, stage)[2] for stage in ("tokenizer", "t2m"))
    for path, array in flatten_dict(before.params, sep="/").items():
        same = np.array_equal(array, flatten_dict(after.params, sep="/")[path])
        assert same == path.startswith("vqvae/"), path
    assert jax.tree.all(jax.tree.map(np.array_equal, before.state, after.state))
    assert before.state["codebook"]["initialised"]
    assert len(np.unique(np.asarray(before.state["codebook"]["table"]), axis=0)) > 1


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_with_the_same_bits(trained_motiongpt, tmp_path):
    shutil.copytree(trained_motiongpt, tmp_path / "run")
    for stage in ("t2m", "pretrain"):
        shutil.rmtree(tmp_path / "run" / "checkpoints" / stage)
    motiongpt3_jax.train("motiongpt:test", tmp_path / "run", FEW)
    again, before = (read_variables(read_folder(folder)) for folder in (tmp_path / "run", trained_motiongpt))
    assert again[:2] == before[:2] == ("t2m", 2)
    assert jax.tree.all(jax.tree.map(np.array_equal, again[2], before[2]))


def batches_of(stage, spec, numbers):
    """Samples of a stage in one row, and in one each; and the stage's objective."""
    values = dict(spec.config["stages"][stage])
    if values["loss"] == "language":
        values["objective"] = {**values["objective"], "words_alone": 0.0, "motion_alone": 0.0}
    layout, shape = KIND.layout(values, spec), KIND.row_shape(values)
    names = [name for name, visits in values["subtasks"] if visits] or ["clip"]
    samples = [
        Sample(n, 23 + n, SENTENCES[n % len(SENTENCES)], names[n % len(names)], draw=n / 10) for n in range(numbers)
    ]
    examples = layout(samples)

    def rows(*some):
        return build(some, lambda n, _: clip(23 + n, n), shape, layout.schema, FEATURES)

    return (
        rows(examples),
        rows(*[[example] for example in examples]),
        KIND.objective(values["loss"], values["objective"]),
    )


def test_codes_of_clips_are_what_is_read_and_what_is_predicted():
    spec = spec_of()
    system = KIND.make_system(spec)
    modules, variables, (batch, _, _) = system.modules, variables_of(system), batches_of("pretrain", spec, 3)
    codes = jax.jit(codes_of_batch, static_argnums=0)(modules, variables, batch)
    ids = filled(batch.streams, codes, modules.config.words)
    target = batch.streams["target"]
    targets = fill_targets(target, ids["target"])
    words, end = modules.config.words, spec.tokenizer.end
    for segment in (1, 2, 3):
        mine = target.segments[0] == segment
        read, predicted = np.asarray(ids["target"])[0, mine], np.asarray(targets)[0, mine]
        np.testing.assert_array_equal(read[1:], predicted[:-1])
        assert (read[0], predicted[-1]) == (0, end)
    first = np.asarray(targets)[0, target.segments[0] == 1]
    frames = clip(23, 0)
    alone = jax.jit(codes_of_clips, static_argnums=0)(modules, variables, frames[None], np.array([23]))[0]
    np.testing.assert_array_equal(first[1:-2], np.asarray(alone) + words)


@one_quick(("stage", "lm"), [("tokenizer", "t5"), ("pretrain", "t5"), ("pretrain", "gpt2")], ("pretrain", "t5"))
def test_packing_changes_no_term_of_a_loss(stage, lm):
    spec = spec_of(lm)
    system = KIND.make_system(spec)
    variables, (together, apart, objective) = variables_of(system), batches_of(stage, spec, 3)

    @jax.jit
    def terms(variables, batch):
        draws = system.draw(jax.random.key(0), batch, True)
        objective_off = replace(objective, dropout=False) if stage == "pretrain" else objective
        return system.losses[spec.config["stages"][stage]["loss"]](variables, batch, draws, objective_off)

    one, three = terms(variables, together), terms(variables, apart)
    assert one.sums.keys() == objective.term_weights.keys()
    for name in one.sums:
        assert one.counts[name] == three.counts[name] > 3
        np.testing.assert_allclose(one.sums[name], three.sums[name], rtol=1e-5)
    if stage == "tokenizer":
        moves = [terms.state_sums["codebook"] for terms in (one, three)]
        assert moves[0]["counts"].sum() == 6 + 6 + 7
        np.testing.assert_allclose(moves[0]["counts"], moves[1]["counts"])
        largest = np.abs(moves[0]["sums"]).max()
        np.testing.assert_allclose(moves[0]["sums"], moves[1]["sums"], rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.lm=gpt2", "config.model.language.max_positions is None; a decoder alone has a table of positions"),
        ("model.language.max_positions=64", "max_positions is 64; a T5's positions are relative: set it to None"),
        ("stages.tokenizer.templates=pretrain", "the loss tokenizer reads no text: leave it empty"),
        ("stages.pretrain.templates=", "needs instruction templates"),
        ("stages.pretrain.batch.window=32", "the loss language reads whole clips: set it to 0"),
        ("stages.pretrain.objective.words_alone=0.9", "words_alone and motion_alone are 1.1 together, above 1"),
        ("stages.pretrain.batch.slots.source=32", "slots.source is 32, and config.layout.max_length 64"),
        ("stages.pretrain.batch.clips=((40,2),)", "clips of 40 frames at most, and 47 may come"),
        ("stages.instruct.batch.clips=((48,1),)", r"has room for 1, and the sub-task 'pred' takes 2: give more"),
    ],
)
def test_a_config_that_cannot_be_trained_is_one_sentence(override, words):
    config = load_config("motiongpt:test", [override])
    with pytest.raises(UserError, match=words):
        check_config(plain(config.to_dict()))


@pytest.mark.parametrize(
    "name", ["base:official", "small", "large:official", "gpt2", "gpt2:official", "tiny", "demo", "test:official"]
)
def test_every_config_is_right(name):
    check_config(plain(load_config(f"motiongpt:{name}").to_dict()))
