"""Memory of programs on the CPU: kept by malloc between calls, instead of mapped and zeroed anew in each."""

import ctypes
import sys

OPTIONS = {"M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, -1), "M_ARENA_MAX": (-8, 1)}
"""Number and value of each option of glibc's `mallopt`: no block mapped by itself, none given back, one heap."""


def keep_host_memory() -> bool:
    """Lets glibc's malloc keep what is freed; returns whether it could be asked (Linux with glibc).

    XLA allocates a program's buffers anew in every call. Blocks of that size are mapped by default, and given back when
    they are freed, so each call waits for the kernel to map and zero all of its pages: about half of the time of a
    small train step. The process then holds its peak until it ends.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all([mallopt(number, value) for number, value in OPTIONS.values()])
