"""Motions of real people, where they are at hand.

They lie in the folder that the environment variable MOTION_REAL_DIR names, by default `../shared/data/real_motion`
beside the project, as `motions_<part>.npz`: `data`, all clips one after the other, times `step` in metres; clip i
begins at `start[i]` and has `length[i]` frames, 20 a second. Without them the tests that need them are skipped.
"""

import os
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(
    os.environ.get("MOTION_REAL_DIR") or Path(__file__).resolve().parents[3] / "shared" / "data" / "real_motion"
)


def real_motions(part: str, every: int) -> list[np.ndarray]:
    """Joints (frames, 22, 3) of each `every`th clip of `motions_<part>.npz`; skips the test when it is not there."""
    path = FOLDER / f"motions_{part}.npz"
    if not path.is_file():
        pytest.skip(f"real motions {path} are missing; point MOTION_REAL_DIR at the folder that holds {path.name}")
    with np.load(path, allow_pickle=False) as content:
        data, step = content["data"], float(content["step"])
        clips = list(zip(content["start"], content["length"]))[::every]
    return [data[start : start + length] * step for start, length in clips]
