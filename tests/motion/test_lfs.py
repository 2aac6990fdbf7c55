"""Git LFS pointers are recognised by their first bytes."""

from pathlib import Path

import pytest

from motiongpt3_jax.motion.lfs import refuse_lfs_pointer

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 343982\n"


def test_a_pointer_is_refused_from_its_bytes_and_from_its_path(tmp_path: Path) -> None:
    (tmp_path / "walk.bvh").write_bytes(POINTER)
    for file in (POINTER, POINTER[:64], POINTER.replace(b"git-lfs", b"hawser"), tmp_path / "walk.bvh"):
        with pytest.raises(ValueError, match=r"^motion 'walk.bvh' is a Git LFS pointer.* 'git lfs pull'"):
            refuse_lfs_pointer(file, "motion 'walk.bvh'")


@pytest.mark.parametrize("content", [b"", b"HIERARCHY\nROOT", b"\x93NUMPY\x01\x00", b"version https://example.com"])
def test_other_files_pass(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    refuse_lfs_pointer(content, "it")
    refuse_lfs_pointer(tmp_path / "other", "it")
