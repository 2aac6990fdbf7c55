"""Broken motion files by the hundreds: bytes flipped, cut and put in, headers that lie, archives and text."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from motiongpt3_jax.motion import Motion, joints_to_features, load_motion, save_motion, write_amass, write_bvh
from tests.fuzz.cases import Case, command, generator, try_all
from tests.motion.samples import dance
from tests.motion.test_arrays import claiming, header

Maker = Callable[[np.random.Generator], tuple[str, bytes]]
"""Makes the name and the content of a file."""

QUICK, ALL = 300, 6000


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> dict[str, bytes]:
    """A file of every kind that is read."""
    folder = tmp_path_factory.mktemp("sound")
    motion = Motion(dance(frames=12)[None])
    for name in ("walk.npy", "walk.npz"):
        save_motion(folder / name, motion)
    write_bvh(folder / "walk.bvh", motion)
    write_amass(folder / "walk.amass.npz", motion)
    np.save(folder / "features.npy", joints_to_features(motion.joints[0]))
    assert command("convert", "--motion", str(folder / "walk.npy"), "--to", "bvh", "--out", str(folder / "out"))[0] == 0
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def damaged(rng: np.random.Generator, content: bytes) -> bytes:
    """A file with some bytes flipped, cut off, repeated, left out or put in."""
    found = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        # Most of what can go wrong lies in headers, at the beginning, and in directories, at the end.
        place = int(min(rng.exponential(120), len(found) - 1)) if found else 0
        if rng.random() < 0.4:
            place = max(len(found) - 1 - place, 0)
        length = int(rng.integers(1, 40))
        kind = int(rng.integers(5))
        if kind == 0 and found:
            found[place] ^= int(rng.integers(1, 256))
        elif kind == 1:
            del found[place:]
        elif kind == 2:
            found[place:place] = found[place : place + length]
        elif kind == 3:
            del found[place : place + length]
        else:
            found[place : place + length] = rng.bytes(length)
    return bytes(found)


NUMBERS = (0, 1, -1, 2, 3, 9, 21, 22, 24, 52, 66, 251, 263, 1 << 31, 1 << 62, 10**20)
DTYPES = ("<f4", ">f8", "<f2", "<i8", "<c16", "|b1", "<U5", "|S3", "|O", "<m8[s]", "|V8", "f4", "x", "", "<f999")


def odd_header(rng: np.random.Generator) -> bytes:
    """A `.npy` file whose header claims anything."""
    shape = tuple(int(NUMBERS[i]) for i in rng.integers(len(NUMBERS), size=rng.integers(0, 6)))
    numbers = rng.normal(size=int(rng.integers(0, 300))).astype("<f4").tobytes()
    fortran = rng.choice(["True", "False", "3"])
    texts = (
        f"{{'descr': '{rng.choice(DTYPES)}', 'fortran_order': {fortran}, 'shape': {shape}, }}",
        "(" * int(rng.integers(1, 5000)),
        f"{{'descr': [('a', '<f4', {shape})], 'fortran_order': False, 'shape': {shape}}}",
        f"{{'shape': {shape}}}",
        rng.bytes(60).decode("latin1"),
    )
    text = texts[int(rng.choice(len(texts), p=(0.6, 0.1, 0.1, 0.1, 0.1)))]
    version = ((1, 0), (2, 0), (3, 0), (9, 9))[int(rng.choice(4, p=(0.6, 0.2, 0.1, 0.1)))]
    return header(text, version) + numbers


def odd_array(rng: np.random.Generator) -> np.ndarray:
    """Arrays of shapes that are nearly right, with numbers that are not."""
    shapes = (
        (9, 22, 3),
        (22, 3, 9),
        (1, 22, 3, 9),
        (2, 9, 22, 3),
        (9, 263),
        (263, 9),
        (9, 21, 3),
        (0, 22, 3),
        (9,),
        (),
    )
    shape = shapes[int(rng.integers(len(shapes)))]
    array = rng.normal(size=shape) * 10.0 ** float(rng.integers(-40, 40)) * (rng.random() < 0.9)
    if array.size and rng.random() < 0.3:
        array.reshape(-1)[int(rng.integers(array.size))] = (np.nan, np.inf, 1e300)[int(rng.integers(3))]
    types = (np.float32, np.float64, np.float16, np.int32, np.complex64, np.bool_, "<U4", object)
    with np.errstate(all="ignore"):
        return array.astype(types[int(rng.choice(8, p=(0.4, 0.2, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05)))])


def npy_of(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def odd_archive(rng: np.random.Generator) -> bytes:
    """An `.npz` file with members of any kind under the names that are looked for."""
    file = io.BytesIO()
    names = ("joints", "fps", "skeleton", "poses", "trans", "offsets", "mocap_framerate", "junk")
    with zipfile.ZipFile(file, "w", (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[int(rng.integers(2))]) as archive:
        for name in names:
            kind = int(rng.integers(8))
            if kind < 3 and name in ("joints", "poses"):
                archive.writestr(f"{name}.npy", npy_of(dance()))
            elif kind < 4:
                archive.writestr(f"{name}.npy", npy_of(odd_array(rng)))
            elif kind == 4:
                archive.writestr(f"{name}.npy", odd_header(rng))
            elif kind == 5:
                archive.writestr(name + ".npy" * int(rng.integers(2)), rng.bytes(30))
            elif kind == 6:
                archive.writestr(f"../{name}.npy", npy_of(np.zeros(3)))
    return file.getvalue()


BVH_WORDS = (
    "HIERARCHY",
    "ROOT",
    "JOINT",
    "End Site",
    "{",
    "}",
    "OFFSET",
    "CHANNELS",
    "MOTION",
    "Frames:",
    "Frame Time:",
)
BVH_VALUES = ("nan", "1e999", "-1", "0", "99999999999", "1,5", "x", "", "1e-320", "é", "\0", "{", "}")


def odd_bvh(rng: np.random.Generator, content: bytes) -> bytes:
    """A BVH file with words exchanged, left out, or repeated."""
    words = content.decode().split(" ")
    for _ in range(int(rng.integers(1, 5))):
        place = int(min(rng.exponential(150), len(words) - 1))
        new = rng.choice(BVH_WORDS if rng.random() < 0.4 else BVH_VALUES)
        words[place : place + int(rng.integers(2))] = [str(new)] * int(rng.choice([0, 1, 1, 1, 300]))
    return " ".join(words).encode()


def odd_file(rng: np.random.Generator, sound: dict[str, bytes]) -> tuple[str, bytes]:
    """The name and the content of one broken file."""
    name = str(rng.choice(list(sound)))
    kind = int(rng.choice(6, p=(0.35, 0.15, 0.15, 0.15, 0.1, 0.1)))
    if kind == 0:
        return name, damaged(rng, sound[name])
    if kind == 1:
        return "walk.npy", odd_header(rng)
    if kind == 2:
        return "walk.npy", npy_of(odd_array(rng))
    if kind == 3:
        return "walk.npz", odd_archive(rng)
    if kind == 4:
        return "walk.bvh", odd_bvh(rng, sound["walk.bvh"])
    return name, sound[str(rng.choice(list(sound)))] if rng.random() < 0.5 else rng.bytes(int(rng.integers(0, 200)))


def cases(sound: dict[str, bytes], folder: Path, count: int, seed: int) -> Iterator[Case]:
    """Files one after the other, most read by the library, some by a command."""
    for number in range(count):
        rng = generator(seed, number)
        name, content = odd_file(rng, sound)
        path = folder / name
        path.write_bytes(content)
        if number % 8:
            yield Case(f"file {number}", lambda path=path: load_motion(path), (str(path),))
        else:
            out = folder / "out"
            asked = ("convert", "--motion", str(path), "--to", "npz", "--out", str(out))
            yield Case(f"convert {number}", asked, (str(path),))


@pytest.mark.parametrize("count", [QUICK, pytest.param(ALL, marks=pytest.mark.slow)])
def test_broken_motion_files_are_refused_in_a_sentence_that_names_them(sound, tmp_path, count):
    tally = try_all(cases(sound, tmp_path, count, seed=count), tmp_path)
    assert tally.refused > count // 3


def odd_mapping(rng: np.random.Generator) -> bytes:
    """A mapping file with values of other kinds, or that is none."""
    values = ([], {}, None, 1e999, -1, "y", ["y"], {"y": 1}, True, "x" * 1000, "[" * 50)
    keys = ("up", "unit", "mirrored", "pelvis", "left_hip", "head", "nobody")
    said = {str(rng.choice(keys)): values[int(rng.integers(len(values)))] for _ in range(int(rng.integers(0, 4)))}
    text = json.dumps(said).encode()
    if rng.random() < 0.2:
        text = b"[" * int(rng.integers(1, 100_000))
    return damaged(rng, text) if rng.random() < 0.4 else text


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_broken_mapping_files_are_refused_in_a_sentence_that_names_them(sound, tmp_path, count):
    motion, mapping = tmp_path / "walk.bvh", tmp_path / "names.json"
    motion.write_bytes(sound["walk.bvh"])

    def asked() -> Iterator[Case]:
        for number in range(count):
            mapping.write_bytes(odd_mapping(generator(7, number)))
            named = (str(mapping), str(motion), "mapping")
            yield Case(f"mapping {number}", lambda: load_motion(motion, mapping=mapping), named)

    try_all(asked(), tmp_path)


def test_one_bad_file_ends_nothing_for_the_others(sound, tmp_path):
    """Good and bad files in one command: the good are converted, the bad are said, and the status is 2."""
    for number in range(8):
        rng = generator(3, number)
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "good.npy").write_bytes(sound["walk.npy"])
        (folder / "bad.npy").write_bytes(claiming((10**9, 22, 3)) if number % 2 else rng.bytes(100))
        asked = [str(folder / name) for name in rng.permutation(["good.npy", "bad.npy"])]
        status, said = command("convert", "--motion", *asked, "--to", "npz")
        assert status == 2
        assert "left out: motion" in said
        assert "bad.npy" in said
        assert (folder / "good.npz").is_file()
        assert not (folder / "bad.npz").exists()
