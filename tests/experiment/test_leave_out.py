"""Samples that a config leaves out never come, in every system, and a run may be continued without them."""

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


def test_a_run_from_before_the_option_may_use_it_and_keeps_everything_else(tmp_path):
    before, now = {"data": {"crop": True}}, {"data": {"crop": True, "leave_out": ("a (t2m)",)}}
    check_same(before, now, tmp_path)
    check_same(now, {"data": {"crop": True, "leave_out": ()}}, tmp_path)
    with pytest.raises(UserError, match=r"begun with data.crop=True, and is now asked for False"):
        check_same(before, {"data": {"crop": False, "leave_out": ()}}, tmp_path)
