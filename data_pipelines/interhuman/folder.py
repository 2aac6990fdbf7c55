"""Read the files of a folder that is laid out like InterHuman.

    motions_processed/person1/NAME.npy, person2/NAME.npy   (frames, 492), 30 fps, z up; or, where these are not there,
    motions/NAME.pkl                                       rotations for a body model, with the frame rate
    annots/NAME.txt                                        a sentence a line
    split/train.txt, val.txt, test.txt                     names, a line each; or beside the folders
    ignore_list.txt                                        names to leave out, if there is one

The rotations of `motions` pose a body of average size, without the shape that `betas` tells: the files of
`motions_processed` come from the body model and are preferred.
"""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.data_pipelines.humanml3d.folder import SPLITS, name_fault
from motiongpt3_jax.data_pipelines.humanml3d.texts import LONGEST, MOST_BYTES
from motiongpt3_jax.data_pipelines.interhuman.pickles import load_arrays
from motiongpt3_jax.data_pipelines.problem import Problem, without_option
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import HUMANML3D, Motion, resample_motion
from motiongpt3_jax.motion.amass import PELVIS, read_amass
from motiongpt3_jax.motion.arrays import MOST_BYTES as LARGEST
from motiongpt3_jax.motion.arrays import UnreadableArrayError, read_npy
from motiongpt3_jax.motion.interhuman import COLUMNS, FPS, read_rows
from motiongpt3_jax.motion.interpret import as_float32, trim_padding
from motiongpt3_jax.motion.lfs import FETCH_IT, IS_POINTER, POINTERS, refuse_lfs_pointer
from motiongpt3_jax.motion.oddities import oddities
from motiongpt3_jax.motion.rest import rest_of
from motiongpt3_jax.text import odd_text

PROCESSED = "motions_processed"
"""Name of the folder of joints."""

RAW = "motions"
"""Name of the folder of rotations."""

TEXTS = "annots"
"""Name of the folder of captions."""

IGNORED = "ignore_list.txt"
"""Name of the list of motions to leave out."""

PERSONS = ("person1", "person2")

_TAKE_OUT = "add the file, or take its name out of the lists"
"""Advice on what is missing."""


@dataclass(frozen=True)
class Folder:
    """A folder laid out like InterHuman.

    Attributes:
      root: where it lies.
    """

    root: Path

    @cached_property
    def motions(self) -> str:
        """The folder with the motions: joints if there are any, else rotations."""
        return PROCESSED if (self.root / PROCESSED).is_dir() else RAW

    def text_file(self, name: str) -> str:
        """Path of a motion's captions, from the root."""
        return f"{TEXTS}/{name}.txt"

    def list_file(self, split: str) -> str | None:
        """Path of a split's list, from the root; None where there is none."""
        files = (f"split/{split}.txt", f"{split}.txt")
        return next((file for file in files if (self.root / file).is_file()), None)

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The splits that have a list of names."""
        return tuple(split for split in SPLITS if self.list_file(split))

    @cached_property
    def ignored(self) -> frozenset[str]:
        """Names to leave out."""
        return frozenset(_lines(self.root / IGNORED)) if (self.root / IGNORED).is_file() else frozenset()

    def lines(self, split: str) -> list[tuple[int, str]]:
        """The names in a split's list with the number of their line."""
        lines = enumerate(_lines(self.root / self.list_file(split)), 1)
        return [(number, line) for number, line in lines if line]

    def names(self, split: str) -> list[str]:
        """The names in a split's list, each once, without those that are none or are to be left out."""
        names = dict.fromkeys(name for _, name in self.lines(split))
        return [name for name in names if not name_fault(name) and name not in self.ignored]


def open_folder(path: str | os.PathLike[str]) -> Folder:
    """Open a folder that is laid out like InterHuman.

    Raises:
      FileNotFoundError: there is no such folder.
      UserError: it has no motions, no captions or no list of training clips.
    """
    folder = Folder(Path(os.path.expanduser(path)))
    if not folder.root.is_dir():
        raise FileNotFoundError(f"there is no folder '{folder.root}'; give the path of an InterHuman folder.")
    needed = {
        f"{PROCESSED}/ or {RAW}/": (folder.root / folder.motions).is_dir(),
        f"{TEXTS}/": (folder.root / TEXTS).is_dir(),
        "split/train.txt": "train" in folder.splits,
    }
    missing = [what for what, exists in needed.items() if not exists]
    if missing:
        raise UserError(
            f"'{folder.root}' is no InterHuman folder: it has no {', no '.join(missing)}. Expected are motions in "
            f"{PROCESSED}/person1/NAME.npy and person2/NAME.npy, or {RAW}/NAME.pkl, captions in {TEXTS}/NAME.txt, and "
            "names in split/train.txt, val.txt and test.txt."
        )
    for split in folder.splits:
        file = folder.root / folder.list_file(split)
        refuse_lfs_pointer(file, f"'{file}'")
    return folder


def read_pair(folder: Folder, name: str) -> tuple[Float[np.ndarray, "2 frames 22 3"] | None, list[Problem]]:
    """Read both people of a motion at 20 fps, y up, in metres, in one world; or None, and what is wrong."""
    read = _read_processed if folder.motions == PROCESSED else _read_raw
    try:
        motion = read(folder, name)
    except _UnusableFileError as error:
        return None, [error.problem]
    advice = "it is used as it is: correct it, or take its name out of the lists"
    where = f"{folder.motions}/{name}"
    return motion.joints, [Problem(where, None, what, advice, "odd") for what in map(without_option, oddities(motion))]


def read_captions(folder: Folder, name: str) -> tuple[tuple[str, ...], list[Problem]]:
    """Read the sentences about a motion, and what is wrong with lines that hold none."""
    file = folder.text_file(name)
    path = folder.root / file
    if not path.is_file():
        return (), [Problem(file, None, "does not exist", _TAKE_OUT)]
    with open(path, "rb") as opened:
        content = opened.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        return (), [Problem(file, None, f"has more than {MOST_BYTES:,} bytes", "write a sentence a line")]
    if content.startswith(POINTERS):
        return (), [Problem(file, None, IS_POINTER, FETCH_IT)]
    captions, problems = [], []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        try:
            text = line.decode("utf-8").split("#")[0].strip()
        except UnicodeDecodeError as error:
            problems.append(Problem(file, number, f"is not UTF-8 at byte {error.start}", "save the file as UTF-8"))
            continue
        odd = odd_text(text)
        if len(text) > LONGEST:
            what = f"has a caption of {len(text):,} letters"
            problems.append(Problem(file, number, what, f"models read {LONGEST:,} at most: shorten it"))
        elif odd:
            problems.append(Problem(file, number, f"has a caption that holds {odd}", "leave it out"))
        elif text:
            captions.append(text)
    if not captions:
        problems.append(Problem(file, None, "has no caption", "write a sentence a line"))
    return tuple(captions), problems


class _UnusableFileError(Exception):
    """A motion that is not used."""

    def __init__(self, file: str, what: str, advice: str):
        self.problem = Problem(file, None, what, advice)


def _read_processed(folder: Folder, name: str) -> Motion:
    people = []
    for person in PERSONS:
        file = f"{PROCESSED}/{person}/{name}.npy"
        if not (folder.root / file).is_file():
            raise _UnusableFileError(file, "does not exist", _TAKE_OUT)
        try:
            array = as_float32(read_npy(folder.root / file))
            if array.ndim != 2 or array.shape[1] not in COLUMNS:
                what = f"has shape {array.shape}; expected (frames, {max(COLUMNS)})"
                raise UnreadableArrayError(what, "take its name out of the lists")
            people.append(read_rows(array).joints)
        except UnreadableArrayError as error:
            raise _UnusableFileError(file, error.what, error.advice) from error
    return _motion(f"{PROCESSED}/{PERSONS[1]}/{name}.npy", people, FPS)


def _read_raw(folder: Folder, name: str) -> Motion:
    file = f"{RAW}/{name}.pkl"
    path = folder.root / file
    if not path.is_file():
        raise _UnusableFileError(file, "does not exist", _TAKE_OUT)
    if path.stat().st_size > LARGEST:
        raise _UnusableFileError(file, f"has more than {LARGEST:,} bytes", "cut it into pieces")
    pickled = path.read_bytes()
    if pickled.startswith(POINTERS):
        raise _UnusableFileError(file, IS_POINTER, FETCH_IT)
    bones = np.asarray(rest_of(HUMANML3D).bones, np.float64) / 100
    bones[0] = PELVIS
    try:
        content = load_arrays(pickled)
        rate = float(content.get("mocap_framerate", FPS))
        people = []
        for person in PERSONS:
            arrays = {key: as_float32(content[person][key]) for key in ("root_orient", "pose_body", "trans")}
            poses = np.concatenate([arrays["root_orient"], arrays["pose_body"]], axis=-1)
            body = {"poses": poses, "trans": arrays["trans"], "offsets": bones, "mocap_framerate": np.array(rate)}
            people.append(read_amass(body, person).joints[0])
    except UnreadableArrayError as error:
        raise _UnusableFileError(file, error.what, error.advice) from error
    except UserError as error:
        raise _UnusableFileError(
            file, f"holds no motion: {error}".rstrip("."), "take its name out of the lists"
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"has no root_orient, pose_body and trans of person1 and person2 ({error!r:.80})"
        raise _UnusableFileError(file, what, "take its name out of the lists") from error
    return _motion(file, people, rate)


def _motion(file: str, people: list[np.ndarray], rate: float) -> Motion:
    frames = [len(joints) for joints in people]
    if frames[0] != frames[1]:
        what = f"has {frames[1]} frames, the other person {frames[0]}"
        raise _UnusableFileError(file, what, "cut both to the same frames, or take the name out of the lists")
    if frames[0] < 2:
        raise _UnusableFileError(file, "has a single frame; features need two", "take its name out of the lists")
    try:
        joints, left_out = trim_padding(np.stack(people))
        if left_out:
            raise UnreadableArrayError(f"has no body in {left_out}", "cut these frames off")
        return resample_motion(Motion(joints, rate), HUMANML3D.fps)
    except UnreadableArrayError as error:
        raise _UnusableFileError(file, error.what, error.advice) from error
    except UserError as error:
        raise _UnusableFileError(
            file, f"holds no motion: {error}".rstrip("."), "take its name out of the lists"
        ) from error


def _lines(path: Path) -> list[str]:
    content = path.read_bytes().decode("utf-8-sig", errors="replace")
    return [line.strip() for line in content.split("\n")]
