"""Request batching with padding to a few shapes, so that few programs are compiled."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

ROWS = (1, 4, 16, 32, 64, 128, 256)
"""Requests that are answered at once."""

SLOT_SIZES = (4, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128)
"""Slots of a stream of a batch; more go up by the last of them."""

FRAME_STEP = 32
"""Frames of a batch are a multiple of this."""

FULL = 0.6
"""Share of a batch's rows that requests must fill; fewer are cut into smaller batches."""


def split_into_batches(count: int) -> list[tuple[range, int]]:
    """Request batching: (requests, rows) of the batches that so many requests are split into."""
    batches, first = [], 0
    while first < count:
        left = count - first
        rows = next((size for size in ROWS if size >= left), ROWS[-1])
        if left < FULL * rows:
            rows = max(size for size in ROWS if size <= left)
        batches.append((range(first, min(first + rows, count)), rows))
        first += rows
    return batches


def round_up(size: int, step: int, limit: int | None = None) -> int:
    """Rounds up to a multiple of `step`, or to `limit` where that is less."""
    rounded = -(-size // step) * step
    return rounded if limit is None else min(rounded, limit)


def slot_count(count: int) -> int:
    """Padded length of a stream with so many tokens."""
    if not count:
        return 0
    return next((size for size in SLOT_SIZES if size >= count), round_up(count, SLOT_SIZES[-1]))


def pad_to_rows(values: Sequence[int], rows: int) -> Int[np.ndarray, "rows"]:
    """Pads to the rows of a batch: values of the requests, and the first again for the rows beyond them."""
    return np.array([*values, *[values[0]] * (rows - len(values))], np.int32)
