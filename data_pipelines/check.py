"""What is wrong with a folder of captioned motions: one as users have it, or a built one."""

import os
from pathlib import Path

import numpy as np

from motiongpt3_jax.data_pipelines.humanml3d import Limits, open_folder, survey
from motiongpt3_jax.data_pipelines.problem import Problem
from motiongpt3_jax.data_pipelines.records import METADATA, open_records

ANEW = "build it anew"


def check(folder: str | os.PathLike[str], min_frames: int = 40, max_frames: int = 199) -> list[Problem]:
    """Everything that is wrong with a HumanML3D folder, or with a folder that was built.

    Args:
      folder: either of them.
      min_frames: least frames of a clip; what is shorter is noted.
      max_frames: most frames, included.

    Raises:
      ValueError: no length lies between the limits.
    """
    folder = Path(os.path.expanduser(folder))
    if (folder / METADATA).is_file():
        return _check_built(folder)
    limits = Limits(min_frames, max_frames)
    try:
        return survey(open_folder(folder), limits).problems
    except (FileNotFoundError, ValueError) as error:
        return [Problem(".", None, str(error).rstrip("."), "a built folder can be checked as well")]


def _check_built(folder: Path) -> list[Problem]:
    """Reads every record."""
    problems = []
    try:
        records = open_records(folder)
    except (ValueError, FileNotFoundError) as error:
        return [Problem(".", None, _what(error), ANEW)]
    statistics = {"mean": records.mean, "std": records.std}
    for name, array in statistics.items():
        if array.shape != (records.metadata.features,) or not np.isfinite(array).all():
            problems.append(Problem("statistics.npz", None, f"{name} is not {records.metadata.features} numbers", ANEW))
    if (records.std <= 0).any():
        problems.append(Problem("statistics.npz", None, "std has values that are not positive", ANEW))
    for name in records.splits:
        try:
            split = records.split(name)
            for i, (id, frames, captions) in enumerate(zip(split.ids, split.lengths, split.captions)):
                clip = split.source[i]
                if (clip.id, len(clip.features), clip.captions) != (id, frames, captions):
                    what = f"says clip '{id}' of {frames} frames where the records have '{clip.id}'"
                    problems.append(Problem(f"index_{name}.json", None, what, ANEW))
                if not np.isfinite(clip.features).all():
                    problems.append(Problem(f"split '{name}'", None, f"clip '{id}' is not finite", ANEW))
        except Exception as error:  # whatever the reader of damaged records raises
            problems.append(Problem(f"split '{name}'", None, f"cannot be read: {_what(error)}", ANEW))
    return problems


def _what(error: Exception) -> str:
    """A message without its advice."""
    return str(error).rpartition("; ")[0] or str(error)
