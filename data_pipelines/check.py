"""Validate a folder of captioned motions: one as users have it, or a built one."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from motiongpt3_jax.data_pipelines import interhuman
from motiongpt3_jax.data_pipelines.clip import PLACE, Clip
from motiongpt3_jax.data_pipelines.humanml3d import HUMANML3D_DATA, Dataset, Limits, open_folder, survey
from motiongpt3_jax.data_pipelines.problem import Problem, without_option
from motiongpt3_jax.data_pipelines.record_files import METADATA
from motiongpt3_jax.data_pipelines.records import open_records
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import Motion
from motiongpt3_jax.motion.arrays import UnreadableArrayError
from motiongpt3_jax.motion.interpret import interpret_array
from motiongpt3_jax.motion.lfs import FETCH_IT, IS_POINTER
from motiongpt3_jax.motion.oddities import oddities
from motiongpt3_jax.text import odd_text

ANEW = "build it anew"
"""Advice on a built folder that is damaged."""


def check(
    folder: str | os.PathLike[str],
    min_frames: int | None = None,
    max_frames: int = 199,
    dataset: Dataset = HUMANML3D_DATA,
) -> list[Problem]:
    """Validate a folder of HumanML3D or KIT-ML, or one that was built: everything that is wrong with it.

    Args:
      folder: any of them.
      min_frames: least frames of a clip, by default the data set's; what is shorter is noted.
      max_frames: most frames, included.
      dataset: whose motions the folder holds, unless it was built.

    Raises:
      UserError: no length lies between the limits.
    """
    limits = Limits(dataset.min_frames if min_frames is None else min_frames, max_frames)
    return _check(folder, lambda path: survey(open_folder(path, dataset), limits).problems)


def check_interhuman(
    folder: str | os.PathLike[str], min_frames: int | None = None, max_frames: int = 199
) -> list[Problem]:
    """Validate a folder of InterHuman, or one that was built: everything that is wrong with it.

    Args:
      folder: either of them.
      min_frames: least frames of a clip, at 20 a second; what is shorter is noted.
      max_frames: most frames, included; longer recordings become several clips.

    Raises:
      UserError: no length lies between the limits.
    """
    limits = Limits(interhuman.MIN_FRAMES if min_frames is None else min_frames, max_frames)
    return _check(folder, lambda path: interhuman.survey(interhuman.open_folder(path), limits).problems)


def _check(folder: str | os.PathLike[str], problems: Callable[[Path], list[Problem]]) -> list[Problem]:
    folder = Path(os.path.expanduser(folder))
    if (folder / METADATA).is_file():
        return _check_built(folder)
    try:
        return problems(folder)
    except (FileNotFoundError, UserError) as error:
        return [Problem(".", None, str(error).rstrip("."), "a built folder can be checked as well")]


def _check_built(folder: Path) -> list[Problem]:
    """Reads every record."""
    problems = []
    try:
        records = open_records(folder)
    except (UserError, FileNotFoundError) as error:
        return [Problem(".", None, _what(error), _advice(error))]
    for name in records.splits:
        try:
            split = records.split(name)
            for i, (id, frames, captions) in enumerate(zip(split.ids, split.lengths, split.captions)):
                clip = split.source[i]
                if (clip.id, len(clip.features), clip.captions) != (id, frames, captions):
                    what = f"says clip '{id}' of {frames} frames where the records have '{clip.id}'"
                    problems.append(Problem(f"index_{name}.json", None, what, ANEW))
                problems += _clip_faults(clip, f"split '{name}'")
        except UserError as error:
            problems.append(Problem(f"split '{name}'", None, f"cannot be read: {_what(error)}", _advice(error)))
    return problems


def _clip_faults(clip: Clip, where: str) -> Iterator[Problem]:
    for person, features in enumerate(clip.persons, 1):
        what = f"clip '{clip.id}'" if len(clip.persons) == 1 else f"clip '{clip.id}', person {person},"
        try:
            content = interpret_array(features)
        except UnreadableArrayError as error:
            yield Problem(where, None, f"{what} {error.what}", ANEW)
            continue
        if content.left_out:
            yield Problem(where, None, f"{what} has no body in {content.left_out}", ANEW)
        for note in oddities(Motion(content.joints, content.skeleton.fps, content.skeleton)):
            advice = "it is used as it is: correct it where it comes from"
            yield Problem(where, None, f"{what.rstrip(',')}: {without_option(note)}", advice, "odd")
    place = clip.numbers.get(PLACE, (0.0, 0.0, 0.0))
    if len(place) < 3 or len(place) % 3 or not np.isfinite(place).all():
        yield Problem(where, None, f"clip '{clip.id}' has a place that is not made of (yaw, x, z)", ANEW)
    for caption in clip.captions:
        odd = odd_text(caption)
        if odd:
            yield Problem(where, None, f"clip '{clip.id}' has a caption that holds {odd}", ANEW)


def _advice(error: Exception) -> str:
    return FETCH_IT if IS_POINTER in str(error) else ANEW


def _what(error: Exception) -> str:
    """A message without its advice."""
    return str(error).rpartition("; ")[0] or str(error)
