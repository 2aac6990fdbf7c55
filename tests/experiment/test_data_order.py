import json

import pytest

from motiongpt3_jax.data_pipelines.loader import ORDER
from motiongpt3_jax.experiment.run import data_order


def write(folder, stage, step, **meta):
    place = folder / "checkpoints" / stage / str(step) / "meta"
    place.mkdir(parents=True)
    (place / "metadata").write_text(json.dumps({"stage": stage, **meta}))


def test_a_new_run_has_the_newest_order(tmp_path):
    assert data_order(tmp_path) == ORDER == 3
    (tmp_path / "checkpoints" / "vae").mkdir(parents=True)
    assert data_order(tmp_path) == ORDER


@pytest.mark.parametrize(("written", "order"), [({"order": 3}, 3), ({"order": 2}, 2), ({}, 2)])
def test_a_run_keeps_the_order_of_its_checkpoints_in_every_stage(tmp_path, written, order):
    write(tmp_path, "vae", 5, **written)
    assert data_order(tmp_path) == order


def test_a_run_of_several_stages_keeps_the_oldest_order(tmp_path):
    write(tmp_path, "vae", 5, order=2)
    write(tmp_path, "generate", 10, order=3)
    assert data_order(tmp_path) == 2
