"""Checkpoints that try to run something: they are refused, or what they name is passed over, and nothing happens."""

import pickle
import sys
import zipfile
from copy import deepcopy

import numpy as np
import pytest

from motiongpt3_jax.tensors.checkpoint_files import read_state_dict
from motiongpt3_jax.tensors.pickles import NAMES, Inert

NUMBERS = np.array([3, 5], np.float32)


def name(module, attribute):
    """The opcode that looks a name up."""
    return f"c{module}\n{attribute}\n".encode()


def value(plain):
    """The opcodes of a plain value."""
    return pickle.dumps(plain, 0)[:-1]


def call(function, *arguments):
    """The opcodes that call what `function` left on the stack."""
    return function + b"(" + b"".join(arguments) + b"tR"


def dictionary(**items):
    """The opcodes of a dictionary."""
    return b"}" + b"".join(value(key) + item + b"s" for key, item in items.items())


def storage(kind=("torch", "FloatStorage"), key="0", count=2, tag="storage"):
    """The opcodes of a reference to a storage."""
    return b"(" + value(tag) + name(*kind) + value(key) + value("cpu") + value(count) + b"tQ"


def tensor(stored=None, start=0, shape=(2,), strides=(1,), hooks=b"}"):
    """The opcodes of a tensor."""
    rebuild = name("torch._utils", "_rebuild_tensor_v2")
    return call(rebuild, stored or storage(), value(start), value(shape), value(strides), value(False), hooks)


def checkpoint(path, content, numbers=NUMBERS, compression=zipfile.ZIP_STORED):
    """A checkpoint as PyTorch lays it out, its pickle made of these opcodes."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("saved/data.pkl", content + b".", zipfile.ZIP_STORED)
        file.writestr("saved/data/0", numbers.tobytes())
    return path


def attacks(marker):
    """Opcodes that make a file where names are looked up and called."""
    touch = value(f"open({str(marker)!r}, 'w').close()")
    shell = value(f"touch {marker}")
    inner = value(call(name("os", "system"), shell) + b".")
    everything = call(name("builtins", "getattr"), name("builtins", "__import__"), value("__self__"))
    return {
        "a shell command": call(name("os", "system"), shell),
        "an older call": b"(" + shell + b"ios\nsystem\n",
        "an object's call": b"(" + name("os", "system") + shell + b"o",
        "a process": call(name("subprocess", "check_call"), value(["touch", str(marker)])),
        "eval": call(name("builtins", "eval"), touch),
        "exec": call(name("builtins", "exec"), touch),
        "an attribute": call(call(name("builtins", "getattr"), everything, value("eval")), touch),
        "a dotted name": b"\x80\x04" + value("os") + value("path.os.system") + b"\x93(" + shell + b"tR",
        "a partial": call(call(name("functools", "partial"), name("os", "system"), shell)),
        "a map": call(
            name("builtins", "list"), call(name("builtins", "map"), name("os", "system"), b"]" + shell + b"a")
        ),
        "a pickle in a pickle": call(name("pickle", "loads"), inner),
        "a module's import": name("makes_a_marker", "anything"),
    }


TORCH = {
    "a file that is loaded": call(name("torch", "load"), value("other.pt")),
    "a model from the hub": call(name("torch.hub", "load"), value("some/body"), value("entry")),
    "bytes that are loaded": call(name("torch.storage", "_load_from_bytes"), value(b"cos\nsystem\n")),
    "a script": call(name("torch.jit", "load"), value("other.pt")),
}
ATTACKS = [*attacks("marker"), *TORCH]


def outcome(path):
    """The numbers of the tensor `weight`, or why there are none."""
    try:
        return read_state_dict(path)["weight"].tolist()
    except ValueError as error:
        return str(error)


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """A file that the attacks make; a module that makes it lies ready to be imported."""
    path = tmp_path / "marker"
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "makes_a_marker.py").write_text(f"open({str(path)!r}, 'w').close()\nanything = 1\n")
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.delitem(sys.modules, "makes_a_marker", raising=False)
    return path


@pytest.mark.parametrize("attack", attacks("marker"))
def test_without_care_the_attack_works(attack, marker):
    pickle.loads(attacks(marker)[attack] + b".")
    assert marker.exists()


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_among_the_settings_does_nothing(attack, marker, tmp_path):
    hostile = (attacks(marker) | TORCH)[attack]
    content = dictionary(hyper_parameters=b"]" + hostile + b"a", state_dict=dictionary(weight=tensor()))
    found = outcome(checkpoint(tmp_path / "hostile.ckpt", content))
    assert not marker.exists()
    assert found == [3, 5] or "cannot be read" in found


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_among_the_tensors_is_refused(attack, marker, tmp_path):
    hostile = (attacks(marker) | TORCH)[attack]
    path = checkpoint(tmp_path / "hostile.ckpt", dictionary(state_dict=dictionary(weight=tensor(), other=hostile)))
    with pytest.raises(ValueError, match=r"no plain tensors: other|cannot be read"):
        read_state_dict(path)
    assert not marker.exists()


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_inside_a_tensor_does_nothing(attack, marker, tmp_path):
    content = dictionary(weight=tensor(hooks=(attacks(marker) | TORCH)[attack]))
    found = outcome(checkpoint(tmp_path / "hostile.ckpt", content))
    assert not marker.exists()
    assert found == [3, 5] or "cannot be read" in found


STATES = {"attributes": dictionary(meaning=value(1)), "slots": b"(N" + dictionary(meaning=value(1)) + b"t"}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("known", [*NAMES, ("some.where", "Unknown")])
def test_no_pickle_changes_what_a_known_name_means(known, state, tmp_path):
    before = deepcopy({key: getattr(meaning, "meaning", None) for key, meaning in NAMES.items()})
    changes = name(*known) + STATES[state] + b"b0"
    path = checkpoint(tmp_path / "hostile.ckpt", changes + dictionary(weight=tensor()))
    found = outcome(path)
    assert found == [3, 5] or "cannot be read" in found
    assert {key: getattr(meaning, "meaning", None) for key, meaning in NAMES.items()} == before
    assert "meaning" not in vars(Inert)
    assert outcome(checkpoint(tmp_path / "honest.ckpt", dictionary(weight=tensor()))) == [3, 5]


def test_settings_of_any_kind_are_passed_over(tmp_path):
    options = call(name("omegaconf.dictconfig", "DictConfig")) + dictionary(_content=b"}", _parent=b"N") + b"b"
    made = b"\x80\x02" + name("omegaconf.nodes", "AnyNode") + b")\x81" + dictionary(_val=value(3)) + b"b"
    counted = call(name("collections", "defaultdict"), name("builtins", "list")) + b"(" + value("a") + value(1) + b"u"
    listed = call(name("some.where", "Several")) + b"(" + value(1) + value(2) + b"e" + value(3) + b"a"
    settings = dictionary(cfg=options, node=made, defaults=counted, listed=listed, kind=name("typing", "Any"))
    content = dictionary(hyper_parameters=settings, state_dict=dictionary(weight=tensor()))
    assert outcome(checkpoint(tmp_path / "trained.ckpt", content)) == [3, 5]


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (tensor(shape=(3,)), "does not fit its storage"),
        (tensor(start=1), "does not fit its storage"),
        (tensor(shape=(10**12,), strides=(0,)), "does not fit its storage"),
        (tensor(shape=(1, 1), strides=(1,)), "cannot be read"),
        (tensor(shape=(-1,)), "cannot be read"),
        (tensor(storage(count=3)), "lacks the numbers of storage 0"),
        (tensor(storage(key="../../1")), r"lacks the numbers of storage \.\./"),
        (tensor(storage(tag="module")), "cannot be read"),
        (tensor(storage(kind=("torch", "QInt8Storage"))), "no plain tensors: weight"),
        (value([1, 2]), "no plain tensors: weight"),
    ],
)
def test_what_is_no_plain_tensor_is_refused(odd, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        read_state_dict(checkpoint(tmp_path / "odd.ckpt", dictionary(weight=odd, other=tensor(storage(), 0, (1,)))))


def test_compressed_numbers_are_refused(tmp_path):
    path = tmp_path / "small.ckpt"
    checkpoint(path, dictionary(weight=tensor()), np.zeros(2, np.float32), zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="lacks the numbers of storage 0"):
        read_state_dict(path)


def test_a_compressed_pickle_which_could_fill_the_memory_is_refused(tmp_path):
    path = tmp_path / "small.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("saved/data.pkl", dictionary(weight=tensor(), padding=value("0" * 10**6)) + b".")
    with pytest.raises(ValueError, match="its records are compressed, which PyTorch never does"):
        read_state_dict(path)


def test_strides_along_axes_of_one_and_of_empty_tensors_do_not_matter(tmp_path):
    odd = {"one": tensor(shape=(1, 2), strides=(2**62, 1)), "none": tensor(shape=(0, 2**40), strides=(2**62, 1))}
    found = read_state_dict(checkpoint(tmp_path / "odd.ckpt", dictionary(**odd)))
    np.testing.assert_array_equal(found["one"], NUMBERS[None])
    assert found["none"].shape == (0, 2**40)


@pytest.mark.parametrize("shape", [(0, 2**70), (1,) * 80, (2, 2**62)])
def test_absurd_shapes_are_refused_by_name(shape, tmp_path):
    path = checkpoint(tmp_path / "odd.ckpt", dictionary(weight=tensor(shape=shape, strides=(1,) * len(shape))))
    with pytest.raises(ValueError, match=r"odd\.ckpt' is damaged: a tensor of shape"):
        read_state_dict(path)


def test_keys_of_any_size_make_a_short_message(tmp_path):
    keys = {f"key{number}": value("x") for number in range(99)} | {"k" * 10**5: value("x")}
    with pytest.raises(ValueError, match="holds no state dict") as error:
        read_state_dict(checkpoint(tmp_path / "odd.ckpt", dictionary(**keys)))
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("place", [6, 8], ids=["encrypted", "compressed in an unknown way"])
def test_an_archive_that_cannot_be_unpacked_is_said(place, tmp_path):
    path = checkpoint(tmp_path / "odd.ckpt", dictionary(weight=tensor()))
    content = bytearray(path.read_bytes())
    # Flags and kind of compression stand in each record's header, and two bytes later in the directory.
    for header in (place, content.index(b"PK\x01\x02") + place + 2):
        content[header] |= 1
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"odd\.ckpt' is damaged or incomplete \((RuntimeError: |its records are compressed)"
    ):
        read_state_dict(path)


def test_numbers_of_a_big_endian_machine_are_refused(tmp_path):
    path = checkpoint(tmp_path / "big.ckpt", dictionary(weight=tensor()))
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("saved/byteorder", b"big")
    with pytest.raises(ValueError, match="written on a big-endian machine"):
        read_state_dict(path)
