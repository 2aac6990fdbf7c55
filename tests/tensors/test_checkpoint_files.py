"""Files of tensors as they come: PyTorch's, Lightning's, safetensors, and what is none."""

import importlib
import sys
from collections import OrderedDict

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from motiongpt3_jax.tensors.checkpoint_files import as_float32, read_state_dict, write_checkpoint
from tests.golden import MOTIONLLM


@pytest.fixture
def torch():
    """PyTorch, of tests that carry the marker."""
    return importlib.import_module("torch")


@pytest.mark.torch
def test_tensors_of_every_kind_and_layout_come_in_as_they_are(torch, tmp_path):
    table = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "turned": table.t()[1:],
        "part": table[1, 2:],
        "scalar": torch.tensor(2.5),
        "parameter": torch.nn.Parameter(table),
        "nothing": torch.zeros(0, 3),
        "counts": torch.arange(3),
        "half": table.half(),
        "rough": table.bfloat16(),
        "truth": table > 3,
        "same": table,
    }
    torch.save(tensors, tmp_path / "all.pt")
    found = read_state_dict(tmp_path / "all.pt")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        wanted = tensor.detach().float().numpy() if name == "rough" else tensor.detach().numpy()
        np.testing.assert_array_equal(found[name], wanted, err_msg=name, strict=name != "rough")
    assert found["rough"].dtype == jnp.bfloat16


@pytest.mark.torch
@pytest.mark.parametrize("wrapping", ["", "module.", "module._orig_mod."])
def test_a_training_frameworks_checkpoint_gives_its_state_dict(torch, tmp_path, wrapping):
    module = torch.nn.Linear(2, 3)
    state = OrderedDict((wrapping + name, tensor) for name, tensor in module.state_dict().items())
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(2)).sum().backward()
    optimizer.step()
    saved = {"epoch": 3, "state_dict": state, "optimizer_states": [optimizer.state_dict()], "lr_schedulers": []}
    saved["callbacks"] = {"best": {"score": torch.tensor(0.5), "device": torch.device("cpu"), "dtype": torch.float32}}
    torch.save(saved, tmp_path / "epoch=3.ckpt")
    found = read_state_dict(tmp_path / "epoch=3.ckpt")
    assert found.keys() == {"weight", "bias"}
    np.testing.assert_array_equal(found["weight"], module.weight.detach().numpy())


@pytest.mark.torch
def test_settings_whose_library_is_not_installed_are_passed_over(torch, tmp_path, monkeypatch):
    class DictConfig(dict):
        """Of a library that only the writer has."""

    DictConfig.__module__, DictConfig.__qualname__ = "omegaconf.dictconfig", "DictConfig"
    library = type(sys)("omegaconf.dictconfig")
    library.DictConfig = DictConfig
    settings = DictConfig(lr=1e-4)
    settings.parent = settings
    with monkeypatch.context() as there:
        there.setitem(sys.modules, "omegaconf", type(sys)("omegaconf"))
        there.setitem(sys.modules, "omegaconf.dictconfig", library)
        torch.save({"hyper_parameters": settings, "state_dict": {"weight": torch.ones(2)}}, tmp_path / "a.ckpt")
    assert "omegaconf" not in sys.modules
    np.testing.assert_array_equal(read_state_dict(tmp_path / "a.ckpt")["weight"], [1, 1])
    assert "omegaconf" not in sys.modules


@pytest.mark.torch
def test_reading_needs_no_pytorch(torch, tmp_path, monkeypatch):
    torch.save({"weight": torch.ones(2)}, tmp_path / "a.pt")
    monkeypatch.setitem(sys.modules, "torch", None)
    np.testing.assert_array_equal(read_state_dict(tmp_path / "a.pt")["weight"], [1, 1])


def test_safetensors_come_in_too(tmp_path):
    tensors = {"module.a": np.ones((2, 3), np.float32), "b": np.ones(2, jnp.bfloat16)}
    save_file(tensors, tmp_path / "a.safetensors")
    found = read_state_dict(tmp_path / "a.safetensors")
    assert {name: (x.shape, x.dtype) for name, x in found.items()} == {
        "a": ((2, 3), np.dtype(np.float32)),
        "b": ((2,), np.dtype(jnp.bfloat16)),
    }


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"module.a": np.ones(2), "a": np.ones(2)}, "holds a twice, once wrapped"),
        ({"a": np.ones(2, np.complex64)}, "holds complex numbers in a"),
    ],
)
def test_tensors_that_would_be_lost_are_refused(tmp_path, tensors, said):
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=said):
        read_state_dict(tmp_path / "a.safetensors")


def test_numbers_that_have_no_name_here_are_refused(tmp_path):
    header = b'{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}'
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\x01\x02")
    with pytest.raises(ValueError, match="holds numbers that are not read here"):
        read_state_dict(tmp_path / "a.safetensors")


def test_what_becomes_float32_is_said():
    state = {"a": np.ones(2, np.float16), "b": np.ones(2, jnp.bfloat16), "c": np.ones(2, np.float32)}
    found, note = as_float32(state)
    assert all(x.dtype == np.float32 and x.tolist() == [1, 1] for x in found.values())
    assert note == "2 of 3 tensors are bfloat16, float16 in the file, and become float32"
    assert as_float32({"c": state["c"]})[1] == ""


@pytest.mark.torch
def test_what_is_written_is_read_back_and_tied_tensors_are_one(torch, tmp_path):
    table = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_checkpoint(tmp_path / "a.ckpt", {"a": table, "b": table, "c": table.copy()})
    found = read_state_dict(tmp_path / "a.ckpt")
    assert all(np.array_equal(tensor, table) for tensor in found.values())
    loaded = torch.load(tmp_path / "a.ckpt", weights_only=True)["state_dict"]
    assert loaded["a"].data_ptr() == loaded["b"].data_ptr() != loaded["c"].data_ptr()


@pytest.mark.torch
def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one_and_nothing_beside_it(torch, tmp_path, monkeypatch):
    def full(state, path):
        path.write_bytes(b"half")
        raise OSError("no space left")

    (tmp_path / "a.ckpt").write_bytes(b"old")
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="no space left"):
        write_checkpoint(tmp_path / "a.ckpt", {})
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.ckpt", b"old")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html>", r"is no checkpoint: it begins with b'<!DOCTYPE html"),
        (b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer, not the file itself; fetch it with"),
        (b"", "is no checkpoint"),
        (b"PK\x03\x04 and not much more", "damaged or incomplete"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "the format of PyTorch before version 1.6; write it anew"),
    ],
)
def test_a_file_of_another_kind_is_said(tmp_path, content, said):
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        read_state_dict(tmp_path / "a.ckpt")


@pytest.mark.torch
def test_a_download_that_stopped_is_said(torch, tmp_path):
    torch.save({"weight": torch.ones(1000)}, tmp_path / "a.pt")
    content = (tmp_path / "a.pt").read_bytes()
    for name in ("a.pt", "a.safetensors"):
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match="damaged or incomplete"):
            read_state_dict(tmp_path / name)


@pytest.mark.torch
def test_a_file_without_tensors_is_said(torch, tmp_path):
    torch.save({"epoch": 3, "model": "big"}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="holds no state dict: its keys are epoch, model"):
        read_state_dict(tmp_path / "a.pt")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_state_dict(tmp_path / "none.pt")


@pytest.mark.golden
def test_slices_of_whole_tables_are_read_from_where_they_begin():
    """The official MotionLLM saves the last rows of a table, and in the file lies the whole table that they are of."""
    filled, state = MOTIONLLM.filled("lora"), read_state_dict(MOTIONLLM.path("motionllm_tiny.pth"))
    rows = filled["gemma2.model.embed_tokens.weight"][-len(state["embeddings"]) :]
    assert rows.shape == (514, 64)
    expected = {name: x for name, x in filled.items() if "lora_" in name} | {"embeddings": rows, "lm_head": rows}
    assert state.keys() == expected.keys()
    for name, x in expected.items():
        np.testing.assert_array_equal(state[name], x, err_msg=name)
