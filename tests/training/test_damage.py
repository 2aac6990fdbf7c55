"""A damaged checkpoint is named, and the whole one before it is taken."""

import json
import random
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest

from motiongpt3_jax.training import restore_params, restore_variables
from motiongpt3_jax.training.checkpoints import mend_checkpoints
from motiongpt3_jax.training.folders import steps_of
from motiongpt3_jax.training.manifest import FORMAT, MANIFEST, damage
from tests.training.test_loop import train
from tests.training.toy import stage, two_stages

STEPS = 10


def stages():
    return [replace(stage, evaluate_every=STEPS // 2) for stage in two_stages(STEPS)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run of two stages with checkpoints at steps 5 and 10."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(folder, *stages())
    return folder


@pytest.fixture
def run(whole, tmp_path):
    """A copy to damage."""
    return shutil.copytree(whole, tmp_path / "run")


def last(run):
    return run / "checkpoints" / "second" / str(STEPS)


def restored(run):
    lines = []
    return restore_variables(run, say=lines.append), lines


def flip(path, place, bit):
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


def flipped(folder, draw):
    """Flips one bit of a checkpoint, anywhere that a manifest covers or in the manifest; gives the way back."""
    files = [folder / name for name in (*json.loads((folder / MANIFEST).read_text()), MANIFEST)]
    files = [path for path in files if path.stat().st_size]
    path = (
        draw.choices(files, [path.stat().st_size for path in files])[0] if draw.random() < 0.5 else draw.choice(files)
    )
    place, bit = draw.randrange(path.stat().st_size), draw.randrange(8)
    flip(path, place, bit)
    return lambda: flip(path, place, bit)


def test_every_flipped_bit_is_named_and_the_checkpoint_before_is_taken(run):
    draw, before = random.Random(0), restore_variables(run, "second")[1]
    assert before == STEPS
    for _ in range(24):
        mend = flipped(last(run), draw)
        (_, step, _), lines = restored(run)
        assert step == STEPS // 2
        assert len(lines) == 1
        assert f"checkpoint {last(run)} is damaged (" in lines[0]
        assert f"step {STEPS // 2} of 'second' is taken instead" in lines[0]
        mend()
    assert restored(run)[1] == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_a_run_goes_on_from_before_a_flipped_bit_and_ends_with_the_same_bits(run, whole, seed):
    flipped(last(run), random.Random(100 + seed))
    lines = train(run, *stages())
    assert sum("is damaged (" in line for line in lines) == 1
    same(run, whole)


def biggest(folder):
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {
    "the biggest file is cut": lambda folder: cut(biggest(folder)),
    "a file is gone": lambda folder: biggest(folder).unlink(),
    "an item is gone": lambda folder: shutil.rmtree(folder / "params"),
    "meta is cut": lambda folder: cut(folder / "meta/metadata"),
    "metrics are cut": lambda folder: cut(folder / "metrics/metrics"),
    "every file is empty": lambda folder: [p.write_bytes(b"") for p in folder.rglob("*") if p.is_file()],
    "the manifest is gone": lambda folder: (folder / MANIFEST).unlink(),
    "the manifest is no table": lambda folder: (folder / MANIFEST).write_text("[1]"),
    "the manifest has no checksums": lambda folder: (folder / MANIFEST).write_text('{"meta/metadata": 3}'),
    "a stray folder is the last": lambda folder: (folder.parent / "999").mkdir(),
}


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("which", ["last", "best"])
def test_whatever_is_damaged_inference_takes_a_whole_one_and_leaves_all_as_it_is(run, name, which):
    DAMAGES[name](last(run))
    there = sorted(path.name for path in last(run).parent.iterdir())
    lines = []
    step = restore_variables(run, which=which, say=lines.append)[1]
    assert step == (STEPS if name.startswith("a stray") else STEPS // 2)
    assert "is damaged (" in lines[0]
    assert sorted(path.name for path in last(run).parent.iterdir()) == there


def same(found, expected):
    jax.tree.map(
        np.testing.assert_array_equal, restore_variables(found, ema=False), restore_variables(expected, ema=False)
    )


@pytest.mark.parametrize("name", ["the biggest file is cut", "metrics are cut", "a stray folder is the last"])
def test_a_finished_stage_whose_last_checkpoint_is_damaged_is_trained_to_its_end_again(run, whole, name, capfd):
    DAMAGES[name](last(run))
    lines = train(run, *stages())
    assert sum("is damaged (" in line for line in lines) == 1
    assert any(path.name.startswith("damaged-") for path in last(run).parent.iterdir())
    same(run, whole)
    assert "Traceback" not in capfd.readouterr().err


def test_a_stage_without_a_whole_checkpoint_begins_anew_from_the_one_before(run, whole):
    for step in steps_of(run, "second"):
        cut(biggest(last(run).with_name(str(step))))
    lines = train(run, *stages())
    assert sum("'second' has no whole one left" in line for line in lines) == 2
    assert "first is finished, at step 10 of 10" in lines
    same(run, whole)


def test_a_damaged_checkpoint_of_a_stage_that_has_ended_stops_no_later_one(run):
    cut(biggest(run / "checkpoints" / "first" / str(STEPS)))
    assert train(run, *stages()) == [f"{name} is finished, at step 10 of 10" for name in ("first", "second")]


def test_the_same_step_can_be_damaged_again_and_again(run):
    for _ in range(3):
        last(run).mkdir(exist_ok=True)
        (last(run) / MANIFEST).write_text("")
        mend_checkpoints(run, ["first", "second"], lambda line: None)
    names = {path.name for path in last(run).parent.glob("damaged-*")}
    assert names == {"damaged-10", "damaged-10-1", "damaged-10-2"}


def test_a_run_without_a_whole_checkpoint_is_one_sentence(run):
    for folder in (run / "checkpoints").glob("*/*"):
        cut(biggest(folder))
    with pytest.raises(FileNotFoundError, match=r"is damaged \(.*no other one is whole; train again"):
        restore_params(run)


def older(folder, **meta):
    """Turns a checkpoint into one of the first format."""
    (folder / MANIFEST).unlink()
    path = folder / "meta/metadata"
    found = json.loads(path.read_text())
    newer = ("format", "order", "references")
    path.write_text(json.dumps({name: found[name] for name in found if name not in newer} | meta))


def test_a_checkpoint_from_before_manifests_is_taken_with_a_note(run, whole):
    older(last(run))
    (_, step, found), lines = restored(run)
    assert step == STEPS
    assert ["older one without checksums" in line for line in lines] == [True]
    jax.tree.map(np.testing.assert_array_equal, found, restore_variables(whole)[2])
    shutil.rmtree(last(run) / "params")
    assert restored(run)[0][1] == STEPS // 2


def test_a_checkpoint_of_a_newer_format_is_not_taken_for_damaged(run):
    older(last(run), format=FORMAT + 1)
    shutil.copy(last(run).with_name("5") / MANIFEST, last(run) / MANIFEST)
    (last(run) / MANIFEST).write_text("{}")
    with pytest.raises(ValueError, match=f"has format {FORMAT + 1}, and this version reads up to {FORMAT}: update it"):
        damage(last(run))


def test_a_run_begun_with_another_order_of_samples_is_not_continued(run):
    older(last(run), order=7)
    with pytest.raises(ValueError, match="samples came in order 7, and now they come in order 1"):
        train(run, stages()[0], stage("second", steps=STEPS + 5))
