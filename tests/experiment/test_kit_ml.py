"""A run on a KIT-ML folder: from the files to a model of 251 features and batches for it."""

import jax
import numpy as np

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.experiment.run import make_run
from motiongpt3_jax.inference.folder import read_folder
from motiongpt3_jax.motion import KIT
from tests.data_pipelines.kit_ml_folder import kit_ml

LENGTHS = ("data.min_frames=24", "data.max_frames=64", "stages.vae.batch.clips=((64,2),)")
RUN = ('run=("vae",)', "data.crop=False", "data.shuffle=False", "stages.vae.batch.samples=2")


def test_a_run_takes_the_folder_as_it_is(tmp_path):
    folder = kit_ml(tmp_path / "raw", features=True)
    overrides = ("data.source=kit_ml", f"data.path={folder}", *LENGTHS, *RUN)
    run = make_run(load_config("motiongpt3:test", overrides), tmp_path / "run")
    statistics = read_folder(tmp_path / "run").statistics
    assert (statistics.skeleton, statistics.fps, len(statistics.mean)) == (KIT, 12.5, 251)
    (clips,) = run.loader("vae", "train").batch(0).clips
    assert clips.shape[-1] == 251
    expected = (np.load(folder / "new_joint_vecs" / "00001.npy") - statistics.mean) / statistics.std
    np.testing.assert_allclose(clips[0, 0, : len(expected)], expected, atol=1e-4)
    params = jax.eval_shape(run.system().init, jax.random.key(0)).params
    assert {251} <= {size for array in jax.tree.leaves(params["vae"]) for size in array.shape}


def test_another_source_brings_its_own_shortest_clip():
    assert load_config("motiongpt3:base", ("data.source=kit_ml",)).data.min_frames == 24
    assert load_config("motiongpt3:base").data.min_frames == 40
    assert load_config("motiongpt3:base", ("data.source=kit_ml", "data.min_frames=40")).data.min_frames == 40
    assert load_config("motiongpt3:test", ("data.source=kit_ml",)).data.min_frames == 47
