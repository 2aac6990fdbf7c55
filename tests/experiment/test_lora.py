"""A stage that trains a LoRA adapter: its checkpoints hold no base, and what starts from it has the adapter too."""

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax.traverse_util import flatten_dict

from motiongpt3_jax.configs.sections import adapter
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.beginning import beginning, open_start, outside_weights
from motiongpt3_jax.experiment.config import read_config
from motiongpt3_jax.inference.folder import plain, read_folder
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.training.partition import matches, paths_of
from motiongpt3_jax.training.references import references_of
from tests.commands.conftest import call
from tests.inference.models import exported_model, model_folder

WORDS = adapter(2, ("text/.*",), dropout=0.0)


def sizes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(the run's folder, the command that makes it, the exported model that it starts from, its variables)."""
    folder = tmp_path_factory.mktemp("lora")
    start, given = exported_model(folder / "start")
    command = (
        *("train", "--config", "motiongpt3:test", f"--config.start={start.path}", "--config.run=('text',)"),
        *(f"--config.model.lora={ {'words': WORDS} }", "--config.stages.text.objective.adapter=words"),
        *("--config.stages.text.trainable=('.*/lora/words/.*',)", "--workdir", folder / "run"),
    )
    status, _, error = call(*command)
    assert status == 0, error
    return folder / "run", command, start, given


def test_a_checkpoint_holds_the_adapter_alone_and_refers_to_its_base_where_it_lies(run):
    folder, command, start, given = run
    checkpoint = folder / "checkpoints" / "text" / "2"
    held = paths_of(dict(ocp.PyTreeCheckpointHandler().metadata(checkpoint / "params").tree))
    assert held == {path for path in held if "/lora/words/" in path}
    assert len(held) == 12
    (reference,) = references_of(checkpoint)
    assert (reference.place, [*reference.files]) == (str(start.path), ["model.safetensors"])
    assert not (folder / "checkpoints" / "base").exists()

    found = flatten_dict(read_variables(read_folder(folder))[2].params, sep="/")
    for path, x in flatten_dict(given.params, sep="/").items():
        np.testing.assert_array_equal(found[path], x, err_msg=path)
    assert all(np.any(found[path]) for path in held)

    weights = start.path / "model.safetensors"
    weights.rename(start.path / "moved")
    status, _, error = call(*command)
    (start.path / "moved").rename(weights)
    assert status == 2
    assert "takes the frozen decoder/final_norm/" in error
    assert "model.safetensors is missing" in error


def test_a_run_starts_from_a_model_with_an_adapter_and_adds_another(run):
    values = model_folder().config

    def config(**lora):
        return read_config({**values, "start": str(run[0]), "model": {**values["model"], "lora": plain(lora)}})

    both = config(words=WORDS, other={**WORDS, "makes": ()})
    begun = beginning(both, model_folder().spec, jax.random.key(0))
    assert any("/lora/words/" in path for path in paths_of(begun.params))
    with pytest.raises(
        UserError, match=r"it has an adapter 'words', which config\.model\.lora has not, or with another"
    ):
        open_start(config())
    with pytest.raises(UserError, match="motiongpt3 export --adapter words"):
        open_start(config(words={**WORDS, "rank": 4}))


def test_fresh_adapters_are_not_looked_for_in_the_weights_of_a_start(run):
    values = model_folder().config
    config = {**values, "start": str(run[2].path), "model": {**values["model"], "lora": {"words": WORDS}}}
    (outside,) = outside_weights(read_config(config))
    assert matches("decoder/layers/text/q/kernel", outside.patterns)
    assert not matches("decoder/layers/text/q/lora/words/a", outside.patterns)
