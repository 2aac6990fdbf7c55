"""Convert a HumanML3D folder, or one of KIT-ML laid out like it, to clips."""

import os
from collections.abc import Iterator
from typing import Literal

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.data_pipelines import records
from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.data_pipelines.humanml3d.dataset import HUMANML3D_DATA, Dataset
from motiongpt3_jax.data_pipelines.humanml3d.folder import Folder, open_folder, read_statistics
from motiongpt3_jax.data_pipelines.humanml3d.recordings import Limits, read_recording
from motiongpt3_jax.data_pipelines.humanml3d.survey import survey
from motiongpt3_jax.data_pipelines.problem import summary
from motiongpt3_jax.data_pipelines.statistics import Statistics
from motiongpt3_jax.errors import UserError

OnBad = Literal["stop", "skip"]
_ANY = Limits(1, 10**9)


def clips(
    path: str | os.PathLike[str],
    split: str,
    *,
    dataset: Dataset = HUMANML3D_DATA,
    min_frames: int | None = None,
    max_frames: int = 199,
    on_bad: OnBad = "stop",
    offsets: Float[np.ndarray, "joints 3"] | None = None,
    target: str | None = None,
) -> Iterator[Clip]:
    """The clips of a split, in the order of its list.

    Clips that are too short or too long are left out; `data_pipelines.check` says which.

    Args:
      path: a folder with `new_joint_vecs/` (features) or `new_joints/` (joints), in the data set's unit and at its fps.
      split: "train", "val" or "test".
      dataset: whose motions it holds.
      min_frames: least frames of features; by default the data set's, 40 of HumanML3D (MotionGPT3's code takes 20).
      max_frames: most frames, included.
      on_bad: "stop" at broken files and lines, or "skip" them.
      offsets: bones of the target body, metres; see `Skeleton.offsets`. Features have their body already.
      target: name of the recording whose body is the target; by default the first training recording with a clip.

    Raises:
      FileNotFoundError: there is no such folder.
      UserError: the folder is none of the data set, has no such split or no such target; or something in it is broken
        and `on_bad` is "stop".
    """
    folder = open_folder(path, dataset)
    limits = Limits(dataset.min_frames if min_frames is None else min_frames, max_frames)
    if split not in folder.splits:
        raise UserError(f"'{folder.root}' has no {split}.txt; it has lists for {', '.join(folder.splits)}.")
    if offsets is None and not folder.has_features:
        offsets = target_offsets(folder, limits, target)
    for name in folder.names(split):
        recording, problems = read_recording(folder, name, limits)
        if on_bad == "stop" and any(problem.bad for problem in problems):
            raise UserError(summary([problem for problem in problems if problem.bad], folder.root))
        if recording:
            yield from recording.clips(offsets)


def build(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    dataset: Dataset = HUMANML3D_DATA,
    min_frames: int | None = None,
    max_frames: int = 199,
    on_bad: OnBad = "stop",
    offsets: Float[np.ndarray, "joints 3"] | None = None,
    target: str | None = None,
) -> records.Records:
    """Build every split of a folder of HumanML3D or KIT-ML; `metadata.json` lists what was left out.

    Mean and deviation are those of `Mean.npy` and `Std.npy` where these belong to the features, else they are measured
    on the training split. See `clips` for the arguments.

    Raises:
      FileExistsError: there is something in `out`.
      FileNotFoundError: there is no such folder.
      UserError: as `clips` does, after looking at everything: the message says how many problems there are.
    """
    if on_bad not in ("stop", "skip"):
        raise UserError(f"on_bad '{on_bad}' is not known; choose stop or skip.")
    records.require_free(out)
    folder = open_folder(path, dataset)
    limits = Limits(dataset.min_frames if min_frames is None else min_frames, max_frames)
    report = survey(folder, limits)
    if report.bad and on_bad == "stop":
        raise UserError(
            f"{summary(report.bad, folder.root)}\n"
            "Repair them, or leave them out: on_bad 'skip', on the command line --on-bad skip."
        )
    if not report.first:
        raise UserError(f"{summary(report.problems, folder.root)}\nNo training clip is left.")
    bones = target_offsets(folder, limits, target or report.first) if offsets is None else np.asarray(offsets)
    lengths = {"min_frames": limits.min_frames, "max_frames": limits.max_frames}
    body = {"offsets": "given"} if offsets is not None else {"target": target or report.first}
    statistics = read_statistics(folder)
    return records.build(
        out,
        {
            split: clips(folder.root, split, dataset=dataset, offsets=bones, on_bad="skip", **lengths)
            for split, cuts in report.cuts.items()
            if cuts
        },
        source=dataset.source,
        offsets=bones,
        skeleton=dataset.skeleton,
        skipped=[str(problem) for problem in report.problems if problem.severity != "odd"],
        options={**lengths, "on_bad": on_bad, **body, "motions": folder.motions},
        statistics=statistics if isinstance(statistics, Statistics) else None,
    )


def target_offsets(folder: Folder, limits: Limits, name: str | None) -> Float[np.ndarray, "joints 3"]:
    """The bones of a recording, by default of the first of the training split that gives a clip."""
    if name is None:
        recordings = (read_recording(folder, name, limits)[0] for name in folder.names("train"))
        recording = next((recording for recording in recordings if recording), None)
        if recording is None:
            raise UserError(f"'{folder.root}' has no training clip to take the target body from; give offsets.")
    else:
        recording, problems = read_recording(folder, name, _ANY)
        if recording is None:
            raise UserError(f"target '{name}' cannot be used: {'; '.join(str(problem) for problem in problems)}.")
    return recording.offsets()
