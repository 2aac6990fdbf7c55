"""Codes that are computed once, before a stage, against those that its steps compute."""

import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest

import motiongpt3_jax
from motiongpt3_jax.batch import ClipRange
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.data_pipelines.records import open_records
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.experiment.run import Run
from motiongpt3_jax.inference.folder import plain, read_folder
from motiongpt3_jax.inference.weights import read_checkpoint
from motiongpt3_jax.systems.motion_codes.code_encoder import CodeEncoder
from motiongpt3_jax.systems.motion_codes.codes import codes_of_batch, filled
from motiongpt3_jax.text import TASKS

CACHED = "data.codes='cached'"


def open_run(folder, *overrides):
    """A run in a folder, as a config with these values sees it."""
    config = check_config(plain(load_config("motiongpt:test", [*overrides]).to_dict()))
    return Run(config, read_folder(folder), open_records(folder / "data"))


@pytest.fixture(scope="module")
def cached_run(trained_motiongpt, tmp_path_factory):
    return open_run(shutil.copytree(trained_motiongpt, tmp_path_factory.mktemp("cached") / "run"), CACHED)


def test_cached_codes_fill_the_ids_that_a_step_would_compute(cached_run):
    run = cached_run
    cached = run.loader("instruct", "train")
    online = open_run(run.folder.path).loader("instruct", "train")
    assert cached.codes is not None
    assert online.codes is None
    system = run.system()
    _, _, variables = read_checkpoint(run.folder)
    encode = jax.jit(codes_of_batch, static_argnums=0)
    for step in range(2):
        known, encoded = cached.batch(step), online.batch(step)
        assert known.clips == ()
        codes = encode(system.modules, variables, encoded)
        ids = filled(encoded.streams, codes, system.config.words)
        for name, slots in known.streams.items():
            np.testing.assert_array_equal(slots.ids, np.where(slots.segments > 0, ids[name], 0))
            assert (slots.sources[..., 0] < 0).all()


def test_codes_are_computed_once_and_again_when_their_file_is_gone(cached_run, capsys):
    run = cached_run
    run.loader("instruct", "train")
    run.loader("instruct", "val")
    capsys.readouterr()
    before = {path.name for path in (run.folder.path / "codes").iterdir()}
    assert {name.split("_")[0] for name in before} == {"train", "val"}
    run.loader("instruct", "train")
    assert "encoding" not in capsys.readouterr().out
    (path,) = (run.folder.path / "codes").glob("train_*")
    content = np.load(path)["codes"]
    np.savez(path, codes=content[1:])
    with pytest.raises(UserError, match="delete it, it is made anew"):
        run.loader("instruct", "train")
    path.unlink()
    run.loader("instruct", "train")
    assert "encoding" in capsys.readouterr().out
    np.testing.assert_array_equal(np.load(path)["codes"], content)


def test_parts_that_tasks_show_are_encoded_by_themselves_and_officially_the_whole_alone(cached_run):
    modules = cached_run.system().modules
    tasks = (TASKS["predict"], TASKS["inbetween"], TASKS["t2m"])
    ours = CodeEncoder(modules, tasks, official=False)
    assert ours.ranges(47) == [ClipRange(*x) for x in ((0, 9), (0, 11), (0, 47), (9, 47), (35, 47))]
    assert [ours.count(part.frames) for part in ours.ranges(47)] == [3, 3, 12, 10, 3]
    assert CodeEncoder(modules, tasks, official=True).ranges(47) == [ClipRange(0, 44)]


def test_clips_that_were_encoded_before_are_not_cut(cached_run):
    config = check_config(plain(load_config("motiongpt:test", [CACHED, "data.crop=True"]).to_dict()))
    run = replace(cached_run, config=config)
    assert run.loader("tokenizer", "train").options.crop
    assert not run.loader("instruct", "train").options.crop


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "stages.instruct.trainable=('.*',)",
            "config.stages.instruct trains vqvae/.*, and its clips are to be encoded",
        ),
        ("data.codes='later'", "config.data.codes is 'later'; it must be one of online, cached"),
    ],
)
def test_what_does_not_go_with_cached_codes_is_said_before_any_work(override, message):
    with pytest.raises(UserError, match=message):
        check_config(plain(load_config("motiongpt:test", [CACHED, override]).to_dict()))


def test_a_tokenizer_that_is_not_trained_is_named(tmp_path):
    with pytest.raises(UserError, match=r"vqvae/\.\* is not trained yet: run the stage that trains it first"):
        motiongpt3_jax.train("motiongpt:test", tmp_path / "run", (CACHED, "run=('instruct',)"))
