"""Read the files of a folder that is laid out like HumanML3D (Guo et al. 2022)."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.data_pipelines.humanml3d.dataset import HUMANML3D_DATA, LEG, Dataset, dataset_of_shape
from motiongpt3_jax.data_pipelines.problem import Problem, without_option
from motiongpt3_jax.data_pipelines.statistics import Statistics
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import Motion, features_to_joints
from motiongpt3_jax.motion.arrays import UnreadableArrayError, read_npy
from motiongpt3_jax.motion.features import length_columns
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

UNITS = {"m": "metres", "mm": "millimetres"}
"""Names of the units of data sets' files."""

FEW = 3
"""Motions from which a folder's kind and unit are told."""

ATTEMPTS = 20
"""Names of a list that are tried for these."""


@dataclass(frozen=True)
class Folder:
    """A folder laid out like HumanML3D: motions, texts, and lists of names.

    Attributes:
      root: where it lies.
      dataset: whose motions it holds.
    """

    root: Path
    dataset: Dataset = HUMANML3D_DATA

    @cached_property
    def motions(self) -> str:
        """The folder with the motions: features if there are any, else joints."""
        return FEATURES if (self.root / FEATURES).is_dir() else JOINTS

    @property
    def has_features(self) -> bool:
        """Whether motions are features already."""
        return self.motions == FEATURES

    @property
    def row(self) -> tuple[int, ...]:
        """Shape of a frame of its motions."""
        skeleton = self.dataset.skeleton
        return (skeleton.features,) if self.has_features else (len(skeleton.joints), 3)

    @cached_property
    def scale(self) -> float:
        """What brings lengths of its files to the unit of the skeleton, in which features are, by its bodies' legs."""
        skeleton, legs = self.dataset.skeleton, []
        if len(self.dataset.units) == 1:
            return 1.0
        for array in self.first_motions():
            if array.shape[1:] == self.row and len(array):
                joints = features_to_joints(array[:1], skeleton) / skeleton.unit if self.has_features else array[:1]
                legs.append(_leg(joints[0], self.dataset))
        leg = float(np.median(legs)) if legs else 0.0
        return self.dataset.likeliest_unit(leg) / skeleton.unit if leg > 0 else 1.0

    def first_motions(self) -> list[np.ndarray]:
        """The first few arrays of the training list that can be read, whatever they hold."""
        arrays = []
        for name in self.names("train")[:ATTEMPTS] if "train" in self.splits else ():
            try:
                arrays.append(as_float32(_load(self, self.motion_file(name))))
            except UnreadableArrayError:
                continue
            if len(arrays) == FEW:
                break
        return arrays

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


def open_folder(path: str | os.PathLike[str], dataset: Dataset = HUMANML3D_DATA) -> Folder:
    """Open a folder that is laid out like HumanML3D.

    Raises:
      FileNotFoundError: there is no such folder.
      UserError: it has no motions, no texts or no list of training clips, or it holds another data set's motions.
    """
    folder = Folder(Path(os.path.expanduser(path)), dataset)
    if not folder.root.is_dir():
        raise FileNotFoundError(f"there is no folder '{folder.root}'; give the path of a {dataset.title} folder.")
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
            f"'{folder.root}' is no {dataset.title} folder: it has no {', no '.join(missing)}. Expected are motions in "
            f"{FEATURES}/NAME.npy or {JOINTS}/NAME.npy, captions in {TEXTS}/NAME.txt, and names in train.txt, val.txt "
            "and test.txt."
        )
    kinds = [dataset_of_shape(array.shape) for array in folder.first_motions()]
    if kinds and kinds[0] and dataset not in kinds and len(set(kinds)) == 1:
        raise UserError(
            f"'{folder.root}' holds motions of {kinds[0].title}, {kinds[0].feature_shape} or {kinds[0].joint_shape}: "
            f"its source is {kinds[0].source}, not {dataset.source}."
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

    Features in the unit of the skeleton, or joints in metres, whichever the folder has.
    """
    file, dataset = folder.motion_file(name), folder.dataset
    try:
        array = _load(folder, file)
        if array.ndim != 1 + len(folder.row) or array.shape[1:] != folder.row:
            return None, [Problem(file, None, *_shape_fault(array.shape, folder))]
        content = interpret_array(rescale(array, folder))
    except UnreadableArrayError as error:
        return None, [_problem(file, error)]
    wrong = _body_fault(content.joints[0], folder)
    if content.left_out:
        wrong = f"has no body in {content.left_out}", "cut these frames off"
    if wrong:
        return None, [Problem(file, None, *wrong)]
    motion = content.joints[0] if content.features is None else content.features
    advice = "it is used as it is: correct it, or take its name out of the lists"
    odd = map(without_option, oddities(Motion(content.joints, dataset.skeleton.fps, dataset.skeleton)))
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


def _shape_fault(shape: tuple[int, ...], folder: Folder) -> tuple[str, str]:
    """(what is wrong, advice) with an array of a shape that the folder's motions do not have."""
    dataset, other = folder.dataset, dataset_of_shape(shape)
    expected = dataset.feature_shape if folder.has_features else dataset.joint_shape
    advice = shape_hint(shape).strip() or f"{folder.motions}/ is for arrays {expected}"
    if other not in (None, dataset):
        advice = f"it is a motion of {other.title}, whose folders have the source {other.source}"
    return f"has shape {shape}; expected {expected}", advice


def rescale(array: np.ndarray, folder: Folder) -> np.ndarray:
    """Joints or features of a file, or their statistics, in the unit of the skeleton."""
    if folder.scale == 1 or not np.issubdtype(array.dtype, np.floating):
        return array
    lengths = length_columns(folder.dataset.skeleton) if array.shape[-1] != 3 else True
    return array * np.where(lengths, folder.scale, 1.0)


def _body_fault(joints: Float[np.ndarray, "frames joints 3"], folder: Folder) -> tuple[str, str] | None:
    """(what is wrong, advice) with a body that cannot be taken to another; features may have one frame, joints not."""
    single, dataset = folder.has_features, folder.dataset
    names, unit = dataset.skeleton.joints, folder.scale * dataset.skeleton.unit
    if len(joints) < 2 and not single:
        return "has a single frame; features need two", "take its name out of the lists"
    lengths = np.linalg.norm(joints[:, 1:] - joints[:, list(dataset.skeleton.parents[1:])], axis=-1)
    if lengths.min() == 0:
        frame, bone = (int(i) for i in np.argwhere(lengths == 0)[0])
        what = f"has no bone to joint {bone + 1} ({names[bone + 1]}) in frame {frame}: its length is 0"
        return what, "fill in this joint, or take the clip out of the lists"
    leg = _leg(joints[0], dataset)
    if not 0.2 < leg < 2:
        usual = "" if unit == 1 else f": {LEG / unit:,.0f} {dataset.unit} are a grown-up's legs"
        return f"has legs of {leg / unit:.3g} {dataset.unit}", f"give joints in {UNITS[dataset.unit]}{usual}"
    if lengths.max() > LONGEST_BONE and not single:
        frame, bone = (int(i) for i in np.unravel_index(lengths.argmax(), lengths.shape))
        size = f"{lengths.max() / unit:.3g} {dataset.unit}"
        what = f"has a bone of {size} to joint {bone + 1} ({names[bone + 1]}) in frame {frame}"
        advice = f"give joints in {UNITS[dataset.unit]}, and correct this one or take the clip out of the lists"
        return what, advice
    return None


def _leg(joints: Float[np.ndarray, "joints 3"], dataset: Dataset) -> float:
    """Length of a leg from hip to ankle."""
    legs = list(dataset.skeleton.legs)
    parents = [dataset.skeleton.parents[joint] for joint in legs]
    return float(np.linalg.norm(joints[legs] - joints[parents], axis=-1).sum())


def read_statistics(folder: Folder) -> Statistics | list[Problem] | None:
    """Read Mean.npy and Std.npy: None when there are none, or no features that they belong to; or what is wrong."""
    files = [file for file in ("Mean.npy", "Std.npy") if (folder.root / file).exists()]
    if not files or not folder.has_features:
        return None
    statistics = [_read_statistic(folder, file) for file in ("Mean.npy", "Std.npy")]
    problems = [problem for problem in statistics if isinstance(problem, Problem)]
    return problems or Statistics(*statistics)


def _read_statistic(folder: Folder, file: str) -> np.ndarray | Problem:
    if not os.path.isfile(folder.root / file):
        return Problem(file, None, "does not exist", f"add the file, or {MEASURE}")
    array, skeleton = read_array(folder, file), folder.dataset.skeleton
    if isinstance(array, Problem):
        return array
    if array.shape != (skeleton.features,):
        return Problem(file, None, f"has shape {array.shape}; expected ({skeleton.features},)", MEASURE)
    array = rescale(array, folder).astype(np.float32)
    try:
        check_magnitude(array, skeleton)
    except UnreadableArrayError as error:
        return Problem(file, None, error.what, MEASURE)
    if file == "Std.npy" and array.min() <= 0:
        what = f"has {int((array <= 0).sum())} deviations that are not positive, the first at {int(array.argmin())}"
        return Problem(file, None, what, MEASURE)
    return array
