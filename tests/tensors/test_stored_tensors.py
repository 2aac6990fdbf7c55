"""Parameters that are read by slices from the files of a checkpoint."""

import itertools
import json

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from motiongpt3_jax.tensors.layer_entries import gpt2_block
from motiongpt3_jax.tensors.name_table import Entry, NameTable, at_layer, from_state_dict
from motiongpt3_jax.tensors.stored_tensors import open_tensors, stored_params, weight_files

RNG = np.random.default_rng(0)
TABLE = NameTable(
    (
        *at_layer(0, gpt2_block(("n1", "n2"), ("qkv", "o"), "mlp", "layers", (2, 3), (4, 5))),
        *at_layer(1, gpt2_block(("m1", "m2"), ("m_qkv", "m_o"), "m_mlp", "layers", (2, 3), (4, 5))),
        Entry("table", "table", (7, 4), part=slice(0, 5)),
        Entry("table", "new", (7, 4), part=slice(5, None)),
        Entry("q", "q", (6, 4), "transposed", split=(4, 2, 3)),
        Entry("up", "out", (4, 6), "transposed", split=(2, 3, 4)),
        Entry("conv", "conv", (5, 4, 3), "transposed"),
        Entry("pe", "pe", (6, 1, 4), "without middle axis"),
    )
)
"""Every way in which a tensor of some model lies in a parameter."""


@pytest.fixture(scope="module")
def state():
    return {key: RNG.normal(size=shape).astype(np.float32) for key, shape in TABLE.shapes.items()}


def leaves(tree, path=""):
    for name, value in tree.items():
        yield from leaves(value, f"{path}{name}/") if isinstance(value, dict) else [(f"{path}{name}", value)]


def halves(size):
    return [slice(None), slice(0, size // 2), slice(size // 2, size)]


def test_a_part_of_a_parameter_is_that_part_of_the_whole(state, tmp_path):
    save_file(state, tmp_path / "model.safetensors")
    params = stored_params(open_tensors(weight_files(tmp_path, "a")), TABLE)
    wanted = dict(leaves(from_state_dict(state, TABLE)))
    assert dict(leaves(params)).keys() == wanted.keys()
    for path, parameter in leaves(params):
        assert parameter.shape == wanted[path].shape
        np.testing.assert_array_equal(np.asarray(parameter), wanted[path], err_msg=path)
        for index in itertools.product(*map(halves, parameter.shape)):
            np.testing.assert_array_equal(parameter[index], wanted[path][index], err_msg=f"{path} {index}")


class Counted:
    """An array that notes how many numbers are asked of it."""

    def __init__(self, array):
        self.array, self.shape, self.asked = array, array.shape, []

    def __getitem__(self, index):
        self.asked.append(self.array[index].size)
        return self.array[index]


def test_no_more_of_a_tensor_is_read_than_a_part_needs(state):
    tensors = {key: Counted(array) for key, array in state.items()}
    params = stored_params(tensors, TABLE)
    assert all(not tensor.asked for tensor in tensors.values())
    for path, index, key, asked in (
        ("q", (slice(0, 2), slice(0, 1), slice(None)), "q", [2 * 3]),
        ("out", (slice(1, 2), slice(None), slice(0, 1)), "up", [3]),
        ("table", (slice(4, 5), slice(None)), "table", [4]),
        ("new", (slice(1, 2), slice(2, 4)), "table", [4, 2]),
        ("conv", (slice(None), slice(1, 2), slice(0, 1)), "conv", [3]),
    ):
        assert params[path][index].size == asked[-1]
        assert tensors[key].asked == asked
    kernel = params["layers"]["k"]["kernel"][slice(1, 2), slice(0, 2), slice(1, 2), slice(None)]
    assert kernel.size == sum(tensors["m_qkv.weight"].asked) == 2 * 3
    assert not tensors["qkv.weight"].asked


def test_tensors_in_several_files_and_in_bfloat16_become_float32(state, tmp_path):
    table = NameTable(tuple(entry for entry in TABLE.entries if entry.key in ("q", "up")))
    for number, key in enumerate(("q", "up")):
        save_file({key: state[key].astype(jnp.bfloat16)}, tmp_path / f"model-{number}.safetensors")
    index = {"weight_map": {"q": "model-0.safetensors", "up": "model-1.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    params = stored_params(open_tensors(weight_files(tmp_path, "a")), table)
    assert params["q"][:, :, :].dtype == np.float32
    np.testing.assert_array_equal(np.asarray(params["out"]).reshape(6, 4).T, state["up"].astype(jnp.bfloat16))
    (tmp_path / "model-1.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no model-1\.safetensors, which its .* lists"):
        weight_files(tmp_path, "a")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"q": "../model.safetensors"}}))
    with pytest.raises(ValueError, match="lists no files of tensors"):
        weight_files(tmp_path, "a")


def test_what_cannot_be_read_is_said_before_anything_is(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"q": np.zeros((6, 4), np.int8)}, path)
    with pytest.raises(ValueError, match="holds q as I8; of numbers F64, F32, F16, BF16 are read"):
        open_tensors([path])
    save_file({"q": np.zeros((6, 4), np.float32)}, path)
    with pytest.raises(ValueError, match="1 missing"):
        stored_params(open_tensors([path]), NameTable(tuple(e for e in TABLE.entries if e.key in ("q", "up"))))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is damaged or incomplete"):
        open_tensors([path])


def test_tied_tensors_must_be_equal():
    tensors = {"a": np.ones((3, 2), np.float32), "b": np.ones((3, 2), np.float32)}
    table = NameTable((Entry("a", "table", (3, 2)),), {"b": "a"})
    np.testing.assert_array_equal(np.asarray(stored_params(tensors, table)["table"]), tensors["a"])
    tensors["b"][2, 1] = 0
    with pytest.raises(ValueError, match="b differs from a"):
        stored_params(tensors, table)
