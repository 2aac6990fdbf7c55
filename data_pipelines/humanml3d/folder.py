"""Read the files of a HumanML3D folder (Guo et al. 2022)."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.data_pipelines.problem import Problem, without_option
from motiongpt3_jax.data_pipelines.statistics import Statistics
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import HUMANML3D, Motion
from motiongpt3_jax.motion.arrays import UnreadableArrayError, read_npy
from motiongpt3_jax.motion.interpret import as_float32, check_magnitude, interpret_array, shape_hint
from motiongpt3_jax.motion.lfs import refuse_lfs_pointer
from motiongpt3_jax.motion.oddities import oddities

SPLITS = ("train", "val", "test")

FEATURES = "new_joint_vecs"
"""Name of the folder of features."""

JOINTS = "new_joints"
"""Name of the folder of joints."""

TEXTS = "texts"
"""Name of the folder of captions."""

MEASURE = "remove Mean.npy and Std.npy to have them measured"
"""Advice on statistics that cannot be used."""

_FOLDERS = re.compile(rf"^(\./)*({FEATURES}|{JOINTS}|{TEXTS})/")
"""What other tools' lists have before a motion's name."""

_ENDINGS = re.compile(r"(\.(npy|npz|bvh|txt))+$", re.IGNORECASE)
"""What other tools' lists have after a motion's name."""

LONGEST_BONE = 2.0
"""Metres that no bone of a body measures, nor a whole leg."""

LONGEST_NAME = 200
"""Letters of a motion's name; file systems take 255 bytes, with what is added to it."""


@dataclass(frozen=True)
class Folder:
    """A HumanML3D folder: motions, texts, and lists of names.

    Attributes:
      root: where it lies.
    """

    root: Path

    @cached_property
    def motions(self) -> str:
        """The folder with the motions: features if there are any, else joints."""
        return FEATURES if (self.root / FEATURES).is_dir() else JOINTS

    @property
    def has_features(self) -> bool:
        """Whether motions are features already."""
        return self.motions == FEATURES

    def motion_file(self, name: str) -> str:
        """Path of a motion, from the root."""
        return f"{self.motions}/{name}.npy"

    def text_file(self, name: str) -> str:
        """Path of its captions, from the root."""
        return f"{TEXTS}/{name}.txt"

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The splits that have a list of names."""
        return tuple(split for split in SPLITS if (self.root / f"{split}.txt").is_file())

    def names(self, split: str) -> list[str]:
        """The names in a split's list, each once, without those that are none."""
        return [name for name in dict.fromkeys(name for _, name in self.lines(split)) if not name_fault(name)]

    def lines(self, split: str) -> Iterator[tuple[int, str]]:
        """The names in a split's list with the number of their line."""
        content = (self.root / f"{split}.txt").read_bytes().decode("utf-8-sig", errors="replace")
        for number, line in enumerate(content.split("\n"), 1):
            if line.strip():
                yield number, line.strip()


def open_folder(path: str | os.PathLike[str]) -> Folder:
    """Open a HumanML3D folder.

    Raises:
      FileNotFoundError: there is no such folder.
      UserError: it has no motions, no texts or no list of training clips.
    """
    folder = Folder(Path(os.path.expanduser(path)))
    if not folder.root.is_dir():
        raise FileNotFoundError(f"there is no folder '{folder.root}'; give the path of a HumanML3D folder.")
    needed = {
        f"{FEATURES}/ or {JOINTS}/": (folder.root / folder.motions).is_dir(),
        f"{TEXTS}/": (folder.root / TEXTS).is_dir(),
        "train.txt": "train" in folder.splits,
    }
    missing = [what for what, exists in needed.items() if not exists]
    for split in folder.splits:
        refuse_lfs_pointer(folder.root / f"{split}.txt", f"'{folder.root / f'{split}.txt'}'")
    if missing:
        raise UserError(
            f"'{folder.root}' is no HumanML3D folder: it has no {', no '.join(missing)}. Expected are motions in "
            f"{FEATURES}/NAME.npy or {JOINTS}/NAME.npy, captions in {TEXTS}/NAME.txt, and names in train.txt, val.txt "
            "and test.txt."
        )
    return folder


def name_fault(name: str) -> tuple[str, str] | None:
    """(what is wrong, advice) with a name of a list that can be no motion's, or leads out of the folder."""
    if "\ufffd" in name:
        return "is not UTF-8", "save the file as UTF-8"
    if not name.isprintable() or len(name) > LONGEST_NAME:
        return f"lists {name!r:.60}, which is no name", "list names of motions, one a line"
    if os.path.isabs(name) or ".." in name.split("/"):
        return f"lists '{name}', which leads out of the folder", "list names of motions that lie in it"
    bare = _ENDINGS.sub("", _FOLDERS.sub("", name))
    if bare != name:
        return f"lists '{name}'", f"names stand without their folder and ending: write '{bare}'"
    return None


def read_array(folder: Folder, file: str) -> np.ndarray | Problem:
    """Read a `.npy` file as float32, finite and not empty, or what is wrong with it."""
    try:
        return as_float32(_load(folder, file))
    except UnreadableArrayError as error:
        return _problem(file, error)


def read_motion(folder: Folder, name: str) -> tuple[np.ndarray | None, list[Problem]]:
    """Read and validate a motion: it, and what is odd about it; or None, and what is wrong.

    Features (frames, 263) or joints (frames, 22, 3) in metres, as the folder has them.
    """
    file = folder.motion_file(name)
    try:
        array = _load(folder, file)
        row = (HUMANML3D.features,) if folder.has_features else (len(HUMANML3D.joints), 3)
        if array.ndim != 1 + len(row) or array.shape[1:] != row:
            expected = "(frames, 263)" if folder.has_features else "(frames, 22, 3)"
            hint = shape_hint(array.shape).strip() or f"{folder.motions}/ is for arrays {expected}"
            return None, [Problem(file, None, f"has shape {array.shape}; expected {expected}", hint)]
        content = interpret_array(array)
    except UnreadableArrayError as error:
        return None, [_problem(file, error)]
    wrong = _body_fault(content.joints[0], single=folder.has_features)
    if content.left_out:
        wrong = f"has no body in {content.left_out}", "cut these frames off"
    if wrong:
        return None, [Problem(file, None, *wrong)]
    motion = content.joints[0] if content.features is None else content.features
    advice = "it is used as it is: correct it, or take its name out of the lists"
    odd = [without_option(note) for note in oddities(Motion(content.joints))]
    return motion, [Problem(file, None, what, advice, "odd") for what in odd]


def _load(folder: Folder, file: str) -> np.ndarray:
    path = folder.root / file
    if not os.path.isfile(path):
        raise UnreadableArrayError("does not exist", "add the file, or take its name out of the lists")
    try:
        return read_npy(path)
    except OSError as error:
        raise UnreadableArrayError(f"cannot be read ({error.strerror})", "see to it that it can") from error


def _problem(file: str, error: UnreadableArrayError) -> Problem:
    return Problem(file, None, error.what, error.advice)


def _body_fault(joints: Float[np.ndarray, "frames 22 3"], single: bool) -> tuple[str, str] | None:
    """(what is wrong, advice) with a body that cannot be taken to another; `single` allows one frame."""
    if len(joints) < 2 and not single:
        return "has a single frame; features need two", "take its name out of the lists"
    lengths = np.linalg.norm(joints[:, 1:] - joints[:, list(HUMANML3D.parents[1:])], axis=-1)
    if lengths.min() == 0:
        frame, bone = (int(i) for i in np.argwhere(lengths == 0)[0])
        what = f"has no bone to joint {bone + 1} ({HUMANML3D.joints[bone + 1]}) in frame {frame}: its length is 0"
        return what, "fill in this joint, or take the clip out of the lists"
    leg = float(lengths[0, [joint - 1 for joint in HUMANML3D.legs]].sum())
    if not 0.2 < leg < 2:
        return f"has legs of {leg:.3g} m", "give joints in metres"
    if lengths.max() > LONGEST_BONE and not single:
        frame, bone = (int(i) for i in np.unravel_index(lengths.argmax(), lengths.shape))
        what = (
            f"has a bone of {lengths.max():.3g} m to joint {bone + 1} ({HUMANML3D.joints[bone + 1]}) in frame {frame}"
        )
        return what, "give joints in metres, and correct this one or take the clip out of the lists"
    return None


def read_statistics(folder: Folder) -> Statistics | list[Problem] | None:
    """Read Mean.npy and Std.npy: None when there are none, or no features that they belong to; or what is wrong."""
    files = [file for file in ("Mean.npy", "Std.npy") if (folder.root / file).exists()]
    if not files or not folder.has_features:
        return None
    statistics = [_read_statistic(folder, file) for file in ("Mean.npy", "Std.npy")]
    problems = [problem for problem in statistics if isinstance(problem, Problem)]
    return problems or Statistics(*statistics)


def _read_statistic(folder: Folder, file: str) -> np.ndarray | Problem:
    array = read_array(folder, file)
    if isinstance(array, Problem):
        return array
    if array.shape != (HUMANML3D.features,):
        return Problem(file, None, f"has shape {array.shape}; expected (263,)", MEASURE)
    try:
        check_magnitude(array)
    except UnreadableArrayError as error:
        return Problem(file, None, error.what, MEASURE)
    if file == "Std.npy" and array.min() <= 0:
        what = f"has {int((array <= 0).sum())} deviations that are not positive, the first at {int(array.argmin())}"
        return Problem(file, None, what, MEASURE)
    return array
