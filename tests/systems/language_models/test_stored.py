"""Parameters of a language model that lies in several files of safetensors."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from motiongpt3_jax.models import Decoder
from motiongpt3_jax.parallel.sharding import path_name
from motiongpt3_jax.systems.language_models import language_model_table, stored_language_model
from motiongpt3_jax.tensors.name_table import from_state_dict, to_state_dict
from tests.systems.language_models.models import (
    CONFIGS,
    MODEL_TYPES,
    TINY,
    decoder_of,
    section_of,
    stream_of,
    tensors_of,
    vocabulary_of,
)

FAMILIES = tuple(CONFIGS)
IDS = TINY["vocab_size"]


def write_checkpoint(folder, family, tensors, files=3, **changed):
    """A checkpoint in several files."""
    folder.mkdir(exist_ok=True)
    names, listed = sorted(tensors), {}
    for number in range(files):
        name = f"model-{number + 1:05}-of-{files:05}.safetensors"
        save_file({key: tensors[key] for key in names[number::files]}, folder / name)
        listed |= dict.fromkeys(names[number::files], name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": listed}))
    values = {"model_type": MODEL_TYPES.get(family, family), **CONFIGS[family], **changed}
    (folder / "config.json").write_text(json.dumps(values))
    return str(folder)


def stored(place, family, ids=IDS, **changed):
    section = section_of(family, CONFIGS[family], **changed)
    return stored_language_model(place, section, decoder_of(section), ids)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_parameters_come_from_the_files_and_go_back_to_them(family, tmp_path):
    tensors, section = tensors_of(family), section_of(family, CONFIGS[family])
    config = decoder_of(section)
    params = jax.tree.map(np.asarray, stored(write_checkpoint(tmp_path, family, tensors), family))

    def init(key):
        words = vocabulary_of(section, config, IDS).init(key, np.zeros((1, 1), int))["params"]
        streams = {"tokens": stream_of(np.zeros((1, 1, section.width), np.float32))}
        return {"decoder": Decoder(config).init(key, streams)["params"], "vocabulary": words}

    def shapes(tree):
        return {path_name(path): x.shape for path, x in jax.tree.leaves_with_path(tree)}

    assert shapes(params) == shapes(jax.eval_shape(init, jax.random.key(0)))
    table = language_model_table(config, IDS, IDS, section.tied)
    back = to_state_dict(params, table)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(back[name], tensor)
    whole = from_state_dict(tensors, table)
    jax.tree.map(np.testing.assert_array_equal, params, whole)


def test_a_gemma_3_has_no_row_for_the_id_of_pictures(tmp_path):
    place = write_checkpoint(tmp_path, "gemma3", tensors_of("gemma3"))
    table = stored(place, "gemma3", IDS + 1)["vocabulary"]["table"]
    whole = np.asarray(table)
    assert whole.shape == (IDS + 1, TINY["hidden_size"])
    assert not whole[-1].any()
    # A device reads its own rows, which may be zeros alone, and its own columns.
    for rows in (slice(0, 3), slice(IDS - 1, IDS + 1), slice(IDS, IDS + 1)):
        np.testing.assert_array_equal(table[rows, slice(2, 5)], whole[rows, 2:5])
    with pytest.raises(ValueError, match=f"has {IDS} ids, and its tokenizer {IDS + 2}"):
        stored(place, "gemma3", IDS + 2)


def test_other_families_need_a_row_for_every_id(tmp_path):
    place = write_checkpoint(tmp_path, "qwen2", tensors_of("qwen2"))
    assert np.asarray(stored(place, "qwen2", IDS - 5)["vocabulary"]["table"]).shape[0] == IDS - 5
    with pytest.raises(ValueError, match=f"has {IDS} ids, and its tokenizer {IDS + 1}"):
        stored(place, "qwen2", IDS + 1)


def test_other_sizes_are_said_with_what_to_set(tmp_path):
    place = write_checkpoint(tmp_path, "gemma2", tensors_of("gemma2"), sliding_window=6)
    flag = r"set --config\.model\.decoder\.logit_cap=5\.0 --config\.model\.decoder\.sliding_window=6$"
    with pytest.raises(ValueError, match=flag):
        stored(place, "gemma2", logit_cap=None)
    with pytest.raises(ValueError, match=r"256 positions, and the config 300; set .*max_positions=256"):
        stored(place, "gemma2", sliding_window=6, max_positions=300)


def test_the_cap_of_attention_scores_may_be_switched_off_and_not_be_another(tmp_path):
    place = write_checkpoint(tmp_path, "gemma2", tensors_of("gemma2"))
    assert "decoder" in stored(place, "gemma2", attention_cap=None)
    with pytest.raises(ValueError, match=r"attention_cap=2\.0"):
        stored(place, "gemma2", attention_cap=3.0)


def test_a_folder_without_sizes_is_refused(tmp_path):
    place = write_checkpoint(tmp_path, "qwen3", tensors_of("qwen3"))
    (tmp_path / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no config\.json; give the folder of a Qwen 3 checkpoint"):
        stored(place, "qwen3")
