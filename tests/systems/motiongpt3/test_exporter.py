"""What an export for the official code says that the official code cannot do."""

import pytest

from motiongpt3_jax.systems.motiongpt3 import exporter
from motiongpt3_jax.systems.motiongpt3.modules import latent_state
from tests.inference.models import model_folder, random_variables


@pytest.mark.parametrize(
    ("override", "notes"),
    [("model.flow=False", []), ("model.betas=(0.001, 0.02)", [exporter.NOISE]), ("model.flow=True", [exporter.FLOW])],
)
def test_another_noise_schedule_than_the_official_one_is_noted(override, notes, tmp_path, monkeypatch):
    monkeypatch.setattr(exporter, "write_checkpoint", lambda path, tensors: None)
    folder = model_folder("model.latent_scale=0.8457", override)
    config, variables = random_variables(folder)
    variables = variables.replace(state=latent_state(config))
    assert exporter.export_pytorch(tmp_path / "model.ckpt", folder.spec, variables) == notes
