"""Survey a folder before anything is built from it: every clip, and everything that is wrong."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from motiongpt3_jax.data_pipelines.humanml3d.folder import SPLITS, Folder, name_fault, read_statistics
from motiongpt3_jax.data_pipelines.humanml3d.recordings import Cut, Limits, Recording, read_recording
from motiongpt3_jax.data_pipelines.problem import Problem

LYING = 0.9
"""Share of recordings with a level spine above which y can hardly be up."""


@dataclass(frozen=True)
class Survey:
    """Survey of a folder.

    Attributes:
      problems: everything that is left out, and why.
      cuts: every clip of every split, with the name of its recording.
      first: the first recording of the training split that gives one; None when none does.
    """

    problems: list[Problem]
    cuts: dict[str, list[tuple[str, Cut]]]
    first: str | None

    @property
    def bad(self) -> list[Problem]:
        """The problems that are not merely clips of another length."""
        return [problem for problem in self.problems if problem.bad]


def survey(folder: Folder, limits: Limits) -> Survey:
    """Read every motion and caption of a folder once."""
    statistics = read_statistics(folder)
    problems = statistics if isinstance(statistics, list) else []
    cuts, first, lying, seen = {}, None, [], {}
    for split in SPLITS:
        if split not in folder.splits:
            advice = f"nothing is built for split '{split}'"
            problems.append(Problem(f"{split}.txt", None, "does not exist", advice, "note"))
            continue
        problems += _check_names(folder, split, seen)
        cuts[split] = []
        for name in folder.names(split):
            recording, recording_problems = read_recording(folder, name, limits)
            problems += recording_problems
            if recording:
                cuts[split] += [(name, cut) for cut in recording.cuts]
                first = first or (name if split == "train" else None)
                lying.append(_lies(recording))
        if not cuts[split]:
            problems.append(
                Problem(f"{split}.txt", None, "gives no clip", "list names of usable motions, or remove it")
            )
    if len(lying) > 1 and np.mean(lying) > LYING:
        what = f"has {sum(lying)} bodies with a level spine among {len(lying)}"
        problems.append(Problem(folder.motions, None, what, "y must be up: turn the joints if z is"))
    return Survey(problems, cuts, first)


def _check_names(folder: Folder, split: str, seen: dict[str, str]) -> Iterator[Problem]:
    file = f"{split}.txt"
    for line, name in folder.lines(split):
        wrong = name_fault(name)
        if wrong:
            yield Problem(file, line, *wrong)
        elif seen.get(name) == split:
            yield Problem(file, line, f"lists '{name}' again", "it is used once", "note")
        elif name in seen:
            what = f"lists '{name}', which {seen[name]}.txt has too"
            yield Problem(file, line, what, "scores on it will mean little", "note")
        seen[name] = split


def _lies(recording: Recording) -> bool:
    if recording.motion.ndim == 2:
        return False
    pelvis, neck = (recording.skeleton.joints.index(joint) for joint in ("pelvis", "neck"))
    spine = np.abs(recording.motion[:, neck] - recording.motion[:, pelvis]).mean(0)
    return bool(spine[1] < spine[2])
