"""Files of tensors that are written piece by piece are those that the library writes at once."""

import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file, save_file

from motiongpt3_jax.tensors import write_safetensors as module
from motiongpt3_jax.tensors.name_table import Entry
from motiongpt3_jax.tensors.stored_tensors import StoredParameter
from motiongpt3_jax.tensors.write_safetensors import write_safetensors


def test_a_file_is_the_one_that_the_library_writes(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "b/kernel": rng.normal(size=(5, 3, 2)).astype(np.float32),
        "state/dead": rng.normal(size=7) > 0,
        "a": np.float32(2.5),
        "none": np.zeros((0, 4), np.float32),
        "a/kernel": rng.normal(size=(4, 3)).astype(np.float32).T,
    }
    metadata = {"format_version": "2"}
    save_file({name: np.array(x, order="C") for name, x in arrays.items()}, tmp_path / "theirs", metadata=metadata)
    write_safetensors(tmp_path / "ours", arrays, metadata)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    write_safetensors(tmp_path / "half", {"x": jnp.arange(3, dtype=jnp.bfloat16)}, {})
    assert load_file(tmp_path / "half")["x"].dtype == np.float32


def test_a_parameter_of_other_files_is_read_piece_by_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PIECE", 2 * 4 * 15)
    read = []

    class Seen(np.ndarray):
        def __getitem__(self, index):
            part = np.asarray(super().__getitem__(index))
            read.append(part.size)
            return part

    layers = np.arange(5 * 15, dtype=np.float32).reshape(5, 5, 3)
    tensors = {str(n): layer.view(Seen) for n, layer in enumerate(layers)}
    entries = tuple(Entry(str(n), "up/kernel", (5, 3), "transposed", n) for n in range(5))
    write_safetensors(tmp_path / "file", {"up/kernel": StoredParameter(entries, tensors)}, {})
    np.testing.assert_array_equal(load_file(tmp_path / "file")["up/kernel"], layers.transpose(0, 2, 1))
    assert read == [15] * 5
