"""What a config says of the data of a run: samples that never come, and rows of each shard; in every system."""

import jax
import numpy as np
import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.run import check_same, make_run


@pytest.mark.parametrize("name", ["motiongpt3:test", "motiongpt:test"])
def test_a_run_goes_on_without_the_samples_of_a_batch(name, tmp_path):
    config = load_config(name, ["data.clips=16"])
    run = make_run(config, tmp_path)
    stage = run.stages()[0].name
    before = run.loader(stage, "train")
    numbers = before.batch(0).samples
    names = before.describe(numbers[numbers >= 0])
    config.data.leave_out = tuple(names)
    again = make_run(config, tmp_path).loader(stage, "train")
    assert (again.batch(0).samples == -1).all()
    assert jax.tree.map(np.shape, again.batch(0)) == jax.tree.map(np.shape, before.batch(0))
    left_out = set(numbers[numbers >= 0].tolist())
    for step in range(before.steps_per_epoch):
        kept = [n for n in np.ravel(before.batch(step).samples) if n >= 0 and n not in left_out]
        assert [n for n in np.ravel(again.batch(step).samples) if n >= 0] == kept
    config.data.leave_out = ("no_such_clip",)
    with pytest.raises(UserError, match=r"data.leave_out names 'no_such_clip'; no training clip has this name"):
        make_run(config, tmp_path).loader(stage, "train")


@pytest.mark.parametrize(("rows", "batch"), [("total", 4), ("per_shard", 8)])
def test_rows_are_those_of_each_shard_where_the_mesh_says_so(tmp_path, monkeypatch, rows, batch):
    monkeypatch.setattr("motiongpt3_jax.experiment.run.row_shards", lambda axes: 2)
    run = make_run(load_config("motiongpt3:test", ["data.clips=16", f"mesh.rows={rows}"]), tmp_path)
    stage = run.stages()[0].name
    run.config.stages[stage].batch["rows"] = 4
    assert run.loader(stage, "train").batch(0).samples.shape[0] == batch


def test_a_run_from_before_the_option_may_use_it_and_keeps_everything_else(tmp_path):
    before, now = {"data": {"crop": True}}, {"data": {"crop": True, "leave_out": ("a (t2m)",)}}
    check_same(before, now, tmp_path)
    check_same(now, {"data": {"crop": True, "leave_out": ()}}, tmp_path)
    check_same(now, {"data": {"crop": True, "workers": 4}}, tmp_path)
    with pytest.raises(UserError, match=r"begun with data.crop=True, and is now asked for False"):
        check_same(before, {"data": {"crop": False, "leave_out": ()}}, tmp_path)


def test_a_tokenizer_knows_the_words_of_another_source_where_the_config_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("motiongpt3_jax.data_pipelines.sources.SENTENCES", 100)
    lengths = {}
    for source in ("", "+procedural_pairs"):
        run = make_run(
            load_config("motiongpt3:test", ["data.clips=16", f"tokenizer=train:600{source}"]), tmp_path / f"run{source}"
        )
        lengths[source] = len(run.folder.tokenizer.encode("the first person follows the second person"))
    assert lengths["+procedural_pairs"] == 7 < lengths[""]
