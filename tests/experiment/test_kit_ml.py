"""A run on a KIT-ML folder: from the files to trained parameters of 251 features."""

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.experiment.train import train
from motiongpt3_jax.inference.folder import read_folder
from motiongpt3_jax.motion import KIT
from tests.data_pipelines.kit_ml_folder import kit_ml

FOLDER = ("data.source=kit_ml", "data.min_frames=24", "data.max_frames=64", 'run=("vae",)')
CLIPS = ("stages.vae.batch.clips=((64,2),)", "stages.vae.batch.samples=2", "stages.vae.sample_every=0")


def test_a_vae_of_251_features_trains_on_the_folder_as_it_is(tmp_path):
    folder = kit_ml(tmp_path / "raw", features=True)
    config = load_config("motiongpt3:test", (*FOLDER, *CLIPS, f"data.path={folder}"))
    train(config, tmp_path / "run")
    statistics = read_folder(tmp_path / "run").statistics
    assert (statistics.skeleton, statistics.fps, len(statistics.mean)) == (KIT, 12.5, 251)


def test_another_source_brings_its_own_shortest_clip():
    assert load_config("motiongpt3:base", ("data.source=kit_ml",)).data.min_frames == 24
    assert load_config("motiongpt3:base").data.min_frames == 40
    assert load_config("motiongpt3:base", ("data.source=kit_ml", "data.min_frames=40")).data.min_frames == 40
    assert load_config("motiongpt3:test", ("data.source=kit_ml",)).data.min_frames == 47
