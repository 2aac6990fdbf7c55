"""Runs of older formats, whose checkpoints hold everything under other paths, are read, continued and referred to."""

import json
import shutil
from dataclasses import replace
from functools import cache

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax.traverse_util import flatten_dict

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.training import restore_variables
from motiongpt3_jax.training.checkpoints import PROGRESS, Checkpoints
from motiongpt3_jax.training.folders import steps_of
from motiongpt3_jax.training.manifest import MANIFEST, read_meta, write_manifest
from motiongpt3_jax.training.partition import merge
from motiongpt3_jax.training.program import make_program
from motiongpt3_jax.training.references import references_of
from tests.quick import one_quick
from tests.training.test_loop import train
from tests.training.test_step import MESH
from tests.training.toy import ToyData, ToySystem, two_stages

STEPS = 10
STAGES = [replace(stage, evaluate_every=STEPS // 2) for stage in two_stages(STEPS)]


class Renamed(ToySystem):
    """A system whose `head/bias` was `tail/offset`, with an axis more, in the formats before this one."""

    def upgrade(self, format, tree):
        assert format in (1, 2)
        return walk(tree, "tail", "head", lambda node: {"bias": node["offset"][0]})


def walk(node, name, other, change):
    """A tree with the dictionaries of one name changed and renamed, wherever they are."""
    if isinstance(node, dict):
        renamed = {other if key == name else key: (key, child) for key, child in node.items()}
        return {
            new: change(child) if old == name else walk(child, name, other, change)
            for new, (old, child) in renamed.items()
        }
    if hasattr(node, "_fields"):
        return type(node)(*(walk(child, name, other, change) for child in node))
    if isinstance(node, tuple | list):
        return type(node)(walk(child, name, other, change) for child in node)
    return node


def older(tree):
    return walk(tree, "head", "tail", lambda node: jax.tree.map(lambda x: x[None], {"offset": node["bias"]}))


def write_older(run, place, step, version):
    """Turns a checkpoint into what the version before wrote: everything, under old paths, from the train state."""
    stage, system = STAGES[place], ToySystem()
    folder = run / "checkpoints" / stage.name / str(step)
    program = make_program(system, stage, MESH, 0, system.init(jax.random.key(0)), ToyData().batch(0))
    with Checkpoints(run, stage, place) as checkpoints:
        state, frozen = checkpoints.restore(step, program.state, program.frozen, program.stored)
    meta, metrics = read_meta(folder), json.loads((folder / "metrics/metrics").read_text())
    shutil.rmtree(folder)
    progress = {name: getattr(state, name) for name in PROGRESS}
    progress["optimizer"] = older(progress["optimizer"])
    items = {"params": older(merge(state.params, frozen)), "state": state.state, "ema": older(state.ema)}
    items |= {"progress": progress}
    del meta["references"]
    meta |= {"format": version, "trainable": [x.replace("head", "tail") for x in meta["trainable"]]}
    with ocp.CheckpointManager(
        folder.parent, options=ocp.CheckpointManagerOptions(best_fn=lambda numbers: numbers["score"])
    ) as manager:
        args = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
        manager.save(step, args=ocp.args.Composite(**args, meta=ocp.args.JsonSave(meta)), metrics=metrics, force=True)
    if version == 2:
        write_manifest(folder, {})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run with checkpoints at steps 5 and 10 of each stage."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(folder, *STAGES)
    return folder


@pytest.fixture(scope="module")
def older_run(whole):
    """(stage's place, format) -> the same run as an older version left it, in the middle of that stage."""

    @cache
    def make(place, version):
        run = shutil.copytree(whole, whole.with_name(f"older-{place}-{version}"))
        shutil.rmtree(run / "checkpoints/base")
        for later in STAGES[place + 1 :]:
            shutil.rmtree(run / "checkpoints" / later.name)
        if place:
            write_older_of(whole, run, 0, STEPS, version)
            shutil.rmtree(run / "checkpoints/first" / str(STEPS // 2))
        shutil.rmtree(run / "checkpoints" / STAGES[place].name / str(STEPS))
        write_older_of(whole, run, place, STEPS // 2, version)
        return run

    return make


@pytest.fixture(params=[pytest.param(1, marks=pytest.mark.slow), 2])
def old(request, older_run, tmp_path):
    """A copy to continue."""
    return lambda place: shutil.copytree(older_run(place, request.param), tmp_path / "run")


def write_older_of(whole, run, place, step, version):
    """Writes an old checkpoint into `run` by way of a whole run, to whose parts the new one refers."""
    copy = shutil.copytree(whole, run.with_name("copy"), dirs_exist_ok=True)
    write_older(copy, place, step, version)
    target = run / "checkpoints" / STAGES[place].name / str(step)
    shutil.rmtree(target, ignore_errors=True)
    shutil.move(copy / "checkpoints" / STAGES[place].name / str(step), target)


def same(run, whole):
    for ema in (False, True):
        found, expected = (restore_variables(x, ema=ema, upgrade=Renamed().upgrade) for x in (run, whole))
        jax.tree.map(np.testing.assert_array_equal, found, expected)


@one_quick("place", [0, 1], 1)
def test_a_run_of_an_older_format_goes_on_as_if_nothing_had_changed(old, whole, place):
    run = old(place)
    train(run, *STAGES, system=Renamed())
    same(run, whole)
    assert not list(run.rglob("damaged-*"))
    last = run / "checkpoints" / STAGES[place].name / str(STEPS)
    assert read_meta(last)["format"] == 3
    assert (last / MANIFEST).is_file()


def test_what_the_first_stage_of_an_older_run_froze_becomes_its_base(old, whole):
    run = old(0)
    train(run, *STAGES, system=Renamed())
    (reference,) = references_of(run / "checkpoints/first" / str(STEPS))
    assert (reference.place, reference.paths) == ("../../base/0", ("head/bias",))
    assert steps_of(run, "base") == [0]


def test_a_stage_refers_to_the_old_checkpoint_of_the_stage_before(old, whole):
    run = old(1)
    head = replace(STAGES[0], name="third", trainable=("head/.*",))
    shutil.rmtree(run / "checkpoints/second")
    train(run, STAGES[0], head, system=Renamed())
    (reference,) = references_of(run / "checkpoints/third" / str(STEPS))
    assert reference.place == f"../../first/{STEPS}"
    found = restore_variables(run, ema=False, upgrade=Renamed().upgrade, say=lambda line: None)[2].params["body"]
    expected = restore_variables(whole, "first", ema=False)[2].params["body"]
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    next((run / f"checkpoints/first/{STEPS}").rglob("d/*")).unlink()
    with pytest.raises(UserError, match=rf"third/{STEPS} takes the frozen body.* from .*first/{STEPS}, "):
        restore_variables(run)


def test_parameters_of_an_older_checkpoint_are_read_for_inference(old, whole, tmp_path):
    found = restore_variables(old(1), upgrade=Renamed().upgrade, say=lambda line: None)
    before = shutil.copytree(whole, tmp_path / "before")
    shutil.rmtree(before / "checkpoints/second" / str(STEPS))
    jax.tree.map(np.testing.assert_array_equal, found, restore_variables(before))


def test_an_older_stage_that_trained_other_parameters_is_not_continued(old):
    run = old(1)
    with pytest.raises(UserError, match=r"was written with trainable=\['\.\*'\], the stage now has trainable="):
        train(run, STAGES[0], replace(STAGES[1], trainable=("body/.*",)), system=Renamed())


def test_an_older_run_without_an_upgrade_is_one_sentence(old):
    run = old(1)
    assert "tail/offset" in flatten_dict(restore_variables(run, say=lambda line: None)[2].params, sep="/")
    with pytest.raises(UserError, match=r"trainable="):
        train(run, *STAGES)
