"""Convert an InterHuman folder to clips of two people."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.data_pipelines import records
from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.data_pipelines.humanml3d.convert import OnBad
from motiongpt3_jax.data_pipelines.humanml3d.folder import SPLITS, name_fault
from motiongpt3_jax.data_pipelines.humanml3d.recordings import Limits
from motiongpt3_jax.data_pipelines.interhuman.folder import Folder, open_folder, read_captions, read_pair
from motiongpt3_jax.data_pipelines.pairs import pair_clip
from motiongpt3_jax.data_pipelines.problem import Problem, summary
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import HUMANML3D, mirror, mirror_caption

SOURCE = "interhuman"

MIN_FRAMES = 10
"""Of the shortest clips: the official 15 frames, 30 a second."""

MIRRORED = "_mirrored"
"""What the ids of mirrored clips end in."""


@dataclass(frozen=True)
class Window:
    """A part of a recording that is a clip of its own.

    Attributes:
      id: the recording's name, with start and end in seconds unless it is the whole.
      start: first frame of features.
      stop: frame after the last.
    """

    id: str
    start: int
    stop: int


@dataclass(frozen=True)
class Survey:
    """What a folder holds.

    Attributes:
      problems: everything that is left out, and why.
      windows: every clip of every split that is no mirror image, with its recording and its captions.
      offsets: bones of the first training recording's first person, the target body; None where there is none.
    """

    problems: list[Problem]
    windows: dict[str, list[tuple[str, Window, tuple[str, ...]]]]
    offsets: Float[np.ndarray, "22 3"] | None

    @property
    def bad(self) -> list[Problem]:
        """The problems that are not merely clips of another length."""
        return [problem for problem in self.problems if problem.bad]


def survey(folder: Folder, limits: Limits) -> Survey:
    """Read every motion and caption of a folder once."""
    problems, windows, offsets, seen = [], {}, None, {}
    for split in SPLITS:
        if split not in folder.splits:
            problems.append(
                Problem(f"split/{split}.txt", None, "does not exist", f"nothing is built for split '{split}'", "note")
            )
            continue
        problems += _check_names(folder, split, seen)
        windows[split] = []
        for name in folder.names(split):
            joints, motion_problems = read_pair(folder, name)
            captions, caption_problems = read_captions(folder, name)
            problems += [*motion_problems, *caption_problems]
            if joints is None or not captions:
                continue
            parts = windows_of(name, joints.shape[1] - 1, limits)
            if not parts:
                advice = f"clips have at least {limits.min_frames}: left out"
                what = f"is {joints.shape[1] - 1} frames long at 20 a second"
                problems.append(Problem(f"{folder.motions}/{name}", None, what, advice, "note"))
            elif offsets is None and split == "train":
                offsets = HUMANML3D.offsets(joints[0, 0].astype(np.float64))
            windows[split] += [(name, window, captions) for window in parts]
        if not windows[split]:
            advice = "list names of usable motions, or remove it"
            problems.append(Problem(folder.list_file(split), None, "gives no clip", advice))
    return Survey(problems, windows, offsets)


def windows_of(name: str, frames: int, limits: Limits) -> list[Window]:
    """The clips of a recording: the whole, or as few of the greatest length as cover it, evenly spread.

    The official code draws a window of ten seconds at every visit.
    """
    if frames < limits.min_frames:
        return []
    if frames <= limits.max_frames:
        return [Window(name, 0, frames)]
    count = -(-frames // limits.max_frames)
    starts = np.linspace(0, frames - limits.max_frames, count).round().astype(int).tolist()
    fps, length = HUMANML3D.fps, limits.max_frames
    return [Window(f"{name}_{start / fps:f}_{(start + length) / fps:f}", start, start + length) for start in starts]


def clips(
    path: str | os.PathLike[str],
    split: str,
    *,
    min_frames: int = MIN_FRAMES,
    max_frames: int = 199,
    mirrored: bool = True,
    offsets: Float[np.ndarray, "22 3"] | None = None,
) -> Iterator[Clip]:
    """The clips of a split, in the order of its list; in training each is followed by its mirror image.

    What is broken is left out; `survey` says what.

    Args:
      path: the folder.
      split: "train", "val" or "test".
      min_frames: least frames of features.
      max_frames: most frames, included; longer recordings are cut into several clips.
      mirrored: whether training clips have mirror images, with mirrored captions.
      offsets: bones of the target body, metres; see `Skeleton.offsets`. By default each keeps its own.

    Raises:
      FileNotFoundError: there is no such folder.
      UserError: the folder is no InterHuman folder, or has no such split.
    """
    folder, limits = open_folder(path), Limits(min_frames, max_frames)
    if split not in folder.splits:
        raise UserError(f"'{folder.root}' has no list for split '{split}'; it has {', '.join(folder.splits)}.")
    for name in folder.names(split):
        joints, (captions, _) = read_pair(folder, name)[0], read_captions(folder, name)
        if joints is None or not captions:
            continue
        for window in windows_of(name, joints.shape[1] - 1, limits):
            yield from window_clips(joints, window, captions, offsets, mirrored and split == "train")


def clip_count(split: str, windows: Sequence[object], mirrored: bool = True) -> int:
    """Clips that `clips` gives of so many windows."""
    return len(windows) * (2 if mirrored and split == "train" else 1)


def window_clips(
    joints: Float[np.ndarray, "2 frames 22 3"],
    window: Window,
    captions: tuple[str, ...],
    offsets: Float[np.ndarray, "22 3"] | None,
    mirrored: bool,
) -> Iterator[Clip]:
    """A window of a recording as a clip, and its mirror image."""
    part = joints[:, window.start : window.stop + 1]
    yield pair_clip(window.id, part, captions, offsets=offsets)
    if mirrored:
        texts = tuple(mirror_caption(text) for text in captions)
        yield pair_clip(window.id + MIRRORED, mirror(part), texts, offsets=offsets)


def build(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    min_frames: int = MIN_FRAMES,
    max_frames: int = 199,
    on_bad: OnBad = "stop",
) -> records.Records:
    """Build every split of an InterHuman folder; `metadata.json` lists what was left out.

    Both people take on the body of the first training recording's first person, as HumanML3D's motions take on one.

    Raises:
      FileExistsError: there is something in `out`.
      FileNotFoundError: there is no such folder.
      UserError: the folder is no InterHuman folder, gives no training clip, or holds something broken and `on_bad` is
        "stop"; the message says how many problems there are.
    """
    if on_bad not in ("stop", "skip"):
        raise UserError(f"on_bad '{on_bad}' is not known; choose stop or skip.")
    records.require_free(out)
    folder, limits = open_folder(path), Limits(min_frames, max_frames)
    report = survey(folder, limits)
    if report.bad and on_bad == "stop":
        raise UserError(
            f"{summary(report.bad, folder.root)}\n"
            "Repair them, or leave them out: on_bad 'skip', on the command line --on-bad skip."
        )
    if report.offsets is None:
        raise UserError(f"{summary(report.problems, folder.root)}\nNo training clip is left.")
    lengths = {"min_frames": min_frames, "max_frames": max_frames}
    return records.build(
        Path(out),
        {
            split: clips(folder.root, split, offsets=report.offsets, **lengths)
            for split, windows in report.windows.items()
            if windows
        },
        source=SOURCE,
        offsets=report.offsets,
        skipped=[str(problem) for problem in report.problems if problem.severity != "odd"],
        options={**lengths, "on_bad": on_bad, "motions": folder.motions},
    )


def _check_names(folder: Folder, split: str, seen: dict[str, str]) -> Iterator[Problem]:
    file = folder.list_file(split)
    for line, name in folder.lines(split):
        wrong = name_fault(name)
        if wrong:
            yield Problem(file, line, *wrong)
        elif name in folder.ignored:
            yield Problem(file, line, f"lists '{name}', which ignore_list.txt has", "it is left out", "note")
        elif seen.get(name) == split:
            yield Problem(file, line, f"lists '{name}' again", "it is used once", "note")
        elif name in seen:
            what = f"lists '{name}', which the list of '{seen[name]}' has too"
            yield Problem(file, line, what, "scores on it will mean little", "note")
        seen[name] = split
