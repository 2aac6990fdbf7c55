"""Detect Git LFS pointers: three lines of text in the place of a large file that was never fetched."""

import os
from os import PathLike

from motiongpt3_jax.errors import UserError

POINTERS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")
"""How pointers begin; the second is from before Git LFS had its name."""

IS_POINTER = "is a Git LFS pointer, not the file itself"
"""What a pointer is, as the rest of a sentence that begins with its file."""

FETCH_IT = "fetch it with 'git lfs pull' in the repository that it comes from"
"""What to do about a pointer."""


def refuse_lfs_pointer(file: str | PathLike[str] | bytes, what: str) -> None:
    """Raise UserError where a file is only a Git LFS pointer.

    Args:
      file: its path, which need not exist, or its first 64 bytes or more.
      what: how the message calls it, e.g. "motion 'walk.bvh'".
    """
    if isinstance(file, bytes):
        head = file
    else:
        if not os.path.isfile(file):
            return  # whoever reads it says so
        with open(file, "rb") as opened:
            head = opened.read(64)
    if head.startswith(POINTERS):
        raise UserError(f"{what} {IS_POINTER}; {FETCH_IT}, or download the file itself.")
