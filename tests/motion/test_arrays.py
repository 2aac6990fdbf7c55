"""Array files from anywhere: what is not there, or would not fit, is never read."""

import io
import resource
import time
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

from motiongpt3_jax.motion.arrays import MOST_BYTES, Archive, UnreadableArrayError, read_npy


def header(text: str, version: tuple[int, int] = (1, 0)) -> bytes:
    size = len(text).to_bytes(2 if version[0] == 1 else 4, "little")
    return npy.MAGIC_PREFIX + bytes(version) + size + text.encode()


def claiming(shape: object, descr: str = "<f4", numbers: int = 8) -> bytes:
    return header(f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n") + bytes(numbers)


def archive(path, **members: bytes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def plain(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(5, dtype=">f8"),
        np.float64(3),
        np.zeros((0, 3)),
        np.array("humanml3d"),
    ],
)
def test_what_numpy_wrote_is_read(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", one=array, two=np.zeros(3))
    with Archive(tmp_path / "a.npz") as arrays:
        assert list(arrays) == ["one", "two"]
        for loaded in (read_npy(tmp_path / "a.npy"), arrays["one"]):
            np.testing.assert_array_equal(loaded, array)
            assert (loaded.shape, loaded.dtype) == (np.shape(array), array.dtype)


def test_headers_of_version_2_are_read(tmp_path):
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n"
    (tmp_path / "a.npy").write_bytes(header(text, (2, 0)) + np.array([1, 2], "<f4").tobytes())
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), [1, 2])


BROKEN = {
    "terabytes": claiming((10**9, 22, 3)),
    "more than 64 bits": claiming((10**30, 22, 3)),
    "sizes whose product is 64 bits": claiming((1 << 62, 4)),
    "a negative size": claiming((-1, 22, 3)),
    "nothing of much": claiming((0, 10**30)),
    "nothing of much in all": claiming((0, 1 << 61, 22, 3)),
    "a size too many": claiming((3,)),
    "numbers of no size": claiming((10**12,), "<U0"),
    "axes without end": claiming((1,) * 40),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_header_that_claims_what_is_not_there_is_refused(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(UnreadableArrayError, match=r"breaks off: its header claims .* bytes, and \d+ follow; copy or"):
        read_npy(tmp_path / "a.npy")
    with (
        Archive(archive(tmp_path / "a.npz", joints=content)) as arrays,
        pytest.raises(UnreadableArrayError, match="claims 'joints'"),
    ):
        arrays["joints"]


GARBAGE = {
    "open brackets": header("((((("),
    "deep brackets": header("(" * 9000),
    "deep minus": header("-" * 9000 + "1"),
    "no dictionary": header("[1, 2]"),
    "code": header("__import__('os').getcwd()"),
    "another dtype": claiming((2,), "<q9"),
    "an unhashable key": header("{[1]: 2}"),
    "a NUL": header("{'descr'\0: 1}"),
    "a header that never ends": npy.MAGIC_PREFIX + b"\x02\x00\xff\xff\xff\x7f" + b" " * 100,
    "a header that breaks off": npy.MAGIC_PREFIX + b"\x01\x00",
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
def test_a_header_of_anything_else_is_refused(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(UnreadableArrayError, match=r"not a readable .npy file \(has a header that is damaged\); write"):
        read_npy(tmp_path / "a.npy")


def test_an_unknown_version_is_named(tmp_path):
    (tmp_path / "a.npy").write_bytes(npy.MAGIC_PREFIX + bytes((7, 1)) + bytes(100))
    with pytest.raises(UnreadableArrayError, match=r"format 7.1, which is not read"):
        read_npy(tmp_path / "a.npy")


def test_a_file_that_holds_too_much_is_refused_unread(tmp_path):
    with open(tmp_path / "a.npy", "wb") as file:
        file.write(claiming((MOST_BYTES // 4 + 1,)))
        file.truncate(MOST_BYTES + 1000)  # a hole, which takes no room on the disk
    with pytest.raises(UnreadableArrayError, match=r"is too large: .*, and 536,870,912 are read at most; cut it"):
        read_npy(tmp_path / "a.npy")


def test_an_archive_that_unpacks_to_gigabytes_takes_neither_memory_nor_time(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, megabytes in {"joints": 600, "other": 200}.items():
            with file.open(f"{name}.npy", "w") as member:
                member.write(claiming((megabytes << 18,), numbers=0))
                for _ in range(megabytes):
                    member.write(bytes(1 << 20))
        file.writestr("fps.npy", plain(20.0))
    assert (tmp_path / "a.npz").stat().st_size < 5 << 20
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with Archive(tmp_path / "a.npz") as arrays:
        with pytest.raises(UnreadableArrayError, match=r"'joints' .* 629,145,600 bytes"):
            arrays["joints"]
        assert arrays["fps"] == 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # kilobytes
    assert time.monotonic() - started < 1


def test_a_member_that_is_no_array_is_named(tmp_path):
    with (
        Archive(archive(tmp_path / "a.npz", joints=b"raw bytes")) as arrays,
        pytest.raises(UnreadableArrayError, match="has a member 'joints' that is no array; save it with numpy"),
    ):
        arrays["joints"]


@pytest.mark.parametrize("place", [45, 60, 200, 500])
def test_damage_anywhere_in_an_archive_is_an_unreadable_array(tmp_path, place):
    path = archive(tmp_path / "a.npz", joints=plain(np.random.default_rng(0).normal(size=100)))
    content = bytearray(path.read_bytes())
    content[place] ^= 255
    path.write_bytes(content)
    with pytest.raises(UnreadableArrayError), Archive(path) as arrays:
        assert arrays["joints"].sum() == 0


def test_an_encrypted_member_is_refused(tmp_path):
    path = archive(tmp_path / "a.npz", joints=plain(np.zeros(3)))
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02") + 8
    path.write_bytes(content[:at] + b"\x01" + content[at + 1 :])
    with pytest.raises(UnreadableArrayError, match="encrypted"), Archive(path) as arrays:
        arrays["joints"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npy", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer, .*; fetch it with 'git lfs pull'"),
        ("a.npz", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("a.npy", b"", "is empty"),
        ("a.npz", b"<!DOCTYPE html>", r"is no .npz file: it begins with b'<!DOCTYP'; save it with numpy"),
        ("a.npz", plain(np.zeros(3)), "is a .npy array under the name .npz; rename it"),
        ("a.npy", b"PK\x03\x04", "is a .npz archive under the name .npy; rename it"),
    ],
)
def test_another_kind_of_file_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableArrayError, match=message):
        (read_npy if name == "a.npy" else Archive)(tmp_path / name)
