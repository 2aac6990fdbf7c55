"""Which files a HumanML3D folder has (Guo et al. 2022)."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from motiongpt3_jax.data_pipelines.problem import Problem
from motiongpt3_jax.data_pipelines.statistics import Statistics
from motiongpt3_jax.motion import HUMANML3D
from motiongpt3_jax.motion.motion import joints_hint

SPLITS = ("train", "val", "test")
FEATURES, JOINTS, TEXTS = "new_joint_vecs", "new_joints", "texts"
_MAGIC = b"\x93NUMPY"


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
        """Where a motion lies, from the root."""
        return f"{self.motions}/{name}.npy"

    def text_file(self, name: str) -> str:
        """Where its captions lie, from the root."""
        return f"{TEXTS}/{name}.txt"

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The splits that have a list of names."""
        return tuple(split for split in SPLITS if (self.root / f"{split}.txt").is_file())

    def names(self, split: str) -> list[str]:
        """The names in a split's list, each once."""
        return list(dict.fromkeys(name for _, name in self.lines(split)))

    def lines(self, split: str) -> Iterator[tuple[int, str]]:
        """The names in a split's list with the number of their line."""
        content = (self.root / f"{split}.txt").read_bytes().decode("utf-8-sig", errors="replace")
        for number, line in enumerate(content.split("\n"), 1):
            if line.strip():
                yield number, line.strip()


def open_folder(path: str | os.PathLike[str]) -> Folder:
    """A HumanML3D folder.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it has no motions, no texts or no list of training clips.
    """
    folder = Folder(Path(os.path.expanduser(path)))
    if not folder.root.is_dir():
        raise FileNotFoundError(f"there is no folder '{folder.root}'; give the path of a HumanML3D folder.")
    needed = {
        f"{FEATURES}/ or {JOINTS}/": (folder.root / folder.motions).is_dir(),
        f"{TEXTS}/": (folder.root / TEXTS).is_dir(),
        "train.txt": "train" in folder.splits,
    }
    missing = [what for what, found in needed.items() if not found]
    if missing:
        raise ValueError(
            f"'{folder.root}' is no HumanML3D folder: it has no {', no '.join(missing)}. Expected are motions in "
            f"{FEATURES}/NAME.npy or {JOINTS}/NAME.npy, captions in {TEXTS}/NAME.txt, and names in train.txt, val.txt "
            "and test.txt."
        )
    return folder


def read_array(folder: Folder, file: str) -> np.ndarray | Problem:
    """The numbers in a `.npy` file as float32, finite and not empty, or what is wrong with it."""
    path = folder.root / file
    if not path.is_file():
        return Problem(file, None, "does not exist", "add the file, or take its name out of the lists")
    with open(path, "rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            return Problem(file, None, "is not a .npy file", "copy or write it anew")
        stream.seek(0)
        try:
            array = np.load(stream, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            if "Object arrays" in str(error):
                what = "holds Python objects, which could run code and are never loaded"
                return Problem(file, None, what, "save plain numbers: numpy.save(path, array.astype('float32'))")
            return Problem(file, None, f"is damaged ({error})", "copy or write it anew")
    if not np.issubdtype(array.dtype, np.floating):
        return Problem(file, None, f"holds {array.dtype} values", "save floating point numbers")
    if not array.size:
        return Problem(file, None, f"is empty: shape {array.shape}", "take its name out of the lists")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is found
        array = array.astype(np.float32)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = tuple(int(i) for i in bad[0])
        what = f"has {len(bad)} values that are not finite (NaN or infinite), the first at {where} of {array.shape}"
        return Problem(file, None, what, "drop or fill these frames")
    return array


def read_motion(folder: Folder, name: str) -> np.ndarray | Problem:
    """Features (frames, 263) or joints (frames, 22, 3) in metres, as the folder has them, or what is wrong."""
    file = folder.motion_file(name)
    array = read_array(folder, file)
    if isinstance(array, Problem):
        return array
    row = (HUMANML3D.features,) if folder.has_features else (len(HUMANML3D.joints), 3)
    if array.ndim != 1 + len(row) or array.shape[1:] != row:
        expected = "(frames, 263)" if folder.has_features else "(frames, 22, 3)"
        hint = joints_hint(array.shape, HUMANML3D).strip() or f"{folder.motions}/ is for arrays {expected}"
        return Problem(file, None, f"has shape {array.shape}; expected {expected}", hint)
    return array if folder.has_features else _check_joints(array, file)


def _check_joints(joints: np.ndarray, file: str) -> np.ndarray | Problem:
    if len(joints) < 2:
        return Problem(file, None, "has a single frame; features need two", "take its name out of the lists")
    lengths = np.linalg.norm(joints[:, 1:] - joints[:, list(HUMANML3D.parents[1:])], axis=-1)
    if lengths.min() == 0:
        frame, bone = (int(i) for i in np.argwhere(lengths == 0)[0])
        what = f"has no bone to joint {bone + 1} ({HUMANML3D.joints[bone + 1]}) in frame {frame}: its length is 0"
        return Problem(file, None, what, "fill in this joint, or take the clip out of the lists")
    leg = float(lengths[0, [joint - 1 for joint in HUMANML3D.legs]].sum())
    if not 0.2 < leg < 2:
        return Problem(file, None, f"has legs of {leg:.3g} m", "give joints in metres")
    return joints


def read_statistics(folder: Folder) -> Statistics | list[Problem] | None:
    """Mean.npy and Std.npy: None when there are none, or no features that they belong to; or what is wrong."""
    files = [file for file in ("Mean.npy", "Std.npy") if (folder.root / file).exists()]
    if not files or not folder.has_features:
        return None
    found, problems = [], []
    for file in ("Mean.npy", "Std.npy"):
        array = read_array(folder, file)
        if not isinstance(array, Problem) and array.shape != (HUMANML3D.features,):
            what = f"has shape {array.shape}; expected (263,)"
            array = Problem(file, None, what, "remove Mean.npy and Std.npy to have them measured")
        if file == "Std.npy" and not isinstance(array, Problem) and array.min() <= 0:
            what = f"has {int((array <= 0).sum())} deviations that are not positive, the first at {int(array.argmin())}"
            array = Problem(file, None, what, "remove Mean.npy and Std.npy to have them measured")
        (problems if isinstance(array, Problem) else found).append(array)
    return problems or Statistics(*found)
