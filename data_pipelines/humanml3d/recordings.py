"""Read a recording and cut clips out of it."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.data_pipelines.humanml3d.folder import Folder, read_motion
from motiongpt3_jax.data_pipelines.humanml3d.texts import Caption, read_captions
from motiongpt3_jax.data_pipelines.problem import Problem
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import Skeleton, features_to_joints, joints_to_features


@dataclass(frozen=True)
class Limits:
    """Length limits of a clip, frames of features, both ends included.

    Attributes:
      min_frames: the field's 40 of HumanML3D and 24 of KIT-ML; the official code of MotionGPT3 takes 20.
      max_frames: 199, the most that ten seconds of HumanML3D's joints give.

    Raises:
      UserError: no length lies between them.
    """

    min_frames: int = 40
    max_frames: int = 199

    def __post_init__(self) -> None:
        if not 1 <= self.min_frames <= self.max_frames:
            raise UserError(
                f"clips of {self.min_frames} to {self.max_frames} frames: expected 1 <= min_frames <= max_frames."
            )

    def hold(self, frames: int) -> bool:
        """Whether a clip may be this long."""
        return self.min_frames <= frames <= self.max_frames


@dataclass(frozen=True)
class Cut:
    """A part of a recording that is a clip of its own.

    Attributes:
      id: the recording's name, with start and end in seconds unless it is the whole.
      start: first frame.
      stop: frame after the last.
      captions: sentences about it.
    """

    id: str
    start: int
    stop: int
    captions: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Recording:
    """A motion file with its clips.

    Attributes:
      name: as in the lists.
      motion: features (frames, features), or joints (frames, joints, 3) in metres.
      cuts: its clips, at least one.
      skeleton: which joints these are.
    """

    name: str
    motion: np.ndarray
    cuts: tuple[Cut, ...]
    skeleton: Skeleton

    def clips(self, offsets: Float[np.ndarray, "joints 3"]) -> list[Clip]:
        """Its clips; joints first take on the target body of these offsets, features have theirs already."""
        whole = self.motion if self.motion.ndim == 2 else joints_to_features(self.motion, self.skeleton, offsets)
        return [Clip(cut.id, whole[cut.start : cut.stop], cut.captions) for cut in self.cuts]

    def offsets(self) -> Float[np.ndarray, "joints 3"]:
        """The bones of its body in the first frame, metres."""
        joints = features_to_joints(self.motion[:1], self.skeleton) if self.motion.ndim == 2 else self.motion
        return self.skeleton.offsets(joints[0])


def read_recording(folder: Folder, name: str, limits: Limits) -> tuple[Recording | None, list[Problem]]:
    """Read a recording with its clips, None when none is left; and everything that was left out."""
    captions, caption_problems = read_captions(folder, name)
    motion, motion_problems = read_motion(folder, name)
    problems = [*motion_problems, *caption_problems]
    if motion is None:
        return None, problems
    frames = len(motion) if folder.has_features else len(motion) - 1
    cuts, left_out = _cuts(folder, name, frames, captions, limits)
    recording = Recording(name, motion, tuple(cuts), folder.dataset.skeleton) if cuts else None
    return recording, problems + left_out


def _cuts(
    folder: Folder, name: str, frames: int, captions: list[Caption], limits: Limits
) -> tuple[list[Cut], list[Problem]]:
    parts, fps = defaultdict(list), folder.dataset.skeleton.fps
    for caption in captions:
        parts[caption.start, caption.end].append(caption)
    cuts, problems = [], []
    for (start, end), sentences in parts.items():
        whole = end == 0
        if whole:
            first, stop = 0, frames
            file, line = folder.motion_file(name), None
        else:
            first, stop = int(start * fps), min(int(end * fps), frames)
            file, line = folder.text_file(name), sentences[0].line
        if first >= frames:
            what = f"is about {start:g} to {end:g} s of a recording of {frames / fps:g} s"
            problems.append(Problem(file, line, what, "correct its times, or take the line out"))
        elif not limits.hold(stop - first):
            what = f"is {stop - first} frames long" if whole else f"is about {stop - first} frames"
            advice = f"clips have {limits.min_frames} to {limits.max_frames}: left out"
            problems.append(Problem(file, line, what, advice, "note"))
        else:
            id = name if whole else f"{name}_{start:f}_{end:f}"  # as the data set's own code names them
            cuts.append(Cut(id, first, stop, tuple(caption.text for caption in sentences)))
    return cuts, problems
