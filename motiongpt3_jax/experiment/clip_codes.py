"""Codes of a data set's clips, computed once with the frozen encoder of a stage and kept in the run's folder.

Codes are whatever a stage reads instead of frames: ids of a codebook, or means and log-variances of latents.

    RUN/codes/<split>_<digest>.npz    codes of all parts of all clips, one after the other, and whose they are

The digest is that of whatever the codes depend on; a file of another digest is never read.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float, Shaped

from motiongpt3_jax.batch import ClipRange
from motiongpt3_jax.data_pipelines.records import Split
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.folder import ModelFolder
from motiongpt3_jax.inference.shapes import FRAME_STEP, round_up
from motiongpt3_jax.motion.saving import whole_file
from motiongpt3_jax.parallel import first_does
from motiongpt3_jax.systems.interface import ClipEncoder, Variables
from motiongpt3_jax.training.partition import matches

ROWS = 64
"""Parts of clips that are encoded at once."""

ClipCodes = Mapping[ClipRange, Shaped[np.ndarray, "codes"]]


class ClipPart(NamedTuple):
    """A part of a clip.

    Attributes:
      clip: number of the clip.
      range: its frames.
    """

    clip: int
    range: ClipRange


def load_codes(
    folder: ModelFolder, clips: Split, encoder: ClipEncoder, variables: Callable[[], Variables]
) -> list[ClipCodes]:
    """Codes of every clip of a split, by the parts that they stand for; encoded now where that was not done before.

    Args:
      folder: the run's.
      clips: the split.
      encoder: of the stage.
      variables: reads the model's arrays, of which those that the encoder depends on must be there.

    Raises:
      UserError: what the encoder depends on is not trained yet.
    """
    arrays = variables()
    missing = [pattern for pattern in encoder.patterns if not _matching(arrays, (pattern,))]
    if missing:
        raise UserError(
            f"clips are to be encoded before the stage begins, and {missing[0]} is not trained yet: "
            "run the stage that trains it first"
        )
    parts = [ClipPart(i, part) for i, frames in enumerate(clips.lengths) for part in encoder.ranges(frames)]
    counts = np.array([encoder.count(part.range.frames) for part in parts])
    path = folder.path / "codes" / f"{clips.name}_{_digest(folder, clips, encoder, arrays)[:16]}.npz"
    # Whether the file is there, the first process alone looks: the others wait for it in any case.
    first_does(f"encode the clips of '{clips.name}'", lambda: _write(path, folder, clips, encoder, arrays, parts))
    with np.load(path, allow_pickle=False) as file:
        codes = file["codes"]
    if len(codes) != counts.sum():
        raise UserError(f"'{path}' holds {len(codes)} codes where {counts.sum()} belong: delete it, it is made anew")
    by_clip: list[dict[ClipRange, np.ndarray]] = [{} for _ in range(len(clips))]
    for part, piece in zip(parts, np.split(codes, np.cumsum(counts)[:-1])):
        by_clip[part.clip][part.range] = piece
    return by_clip


def _write(
    path: Path,
    folder: ModelFolder,
    clips: Split,
    encoder: ClipEncoder,
    variables: Variables,
    parts: Sequence[ClipPart],
) -> None:
    """Encodes the parts and writes their codes, where that was not done before."""
    if path.is_file():
        return
    print(f"encoding {len(clips)} clips of '{clips.name}' into {path.parent}", flush=True)
    codes = encode_parts(folder, clips, encoder, variables, parts)
    path.parent.mkdir(exist_ok=True)
    with whole_file(path, ".npz") as fresh:
        np.savez(fresh, codes=np.concatenate(codes))


def encode_parts(
    folder: ModelFolder, clips: Split, encoder: ClipEncoder, variables: Variables, parts: Sequence[ClipPart]
) -> list[Shaped[np.ndarray, "codes"]]:
    """The codes of each part, encoded in batches of like lengths."""
    encode = jax.jit(encoder.encode)
    with jax.default_device(jax.local_devices()[0]):
        params = unflatten_dict(_matching(variables, encoder.patterns), sep="/")
        arrays = jax.device_put(variables.replace(params=params))
        codes: dict[int, np.ndarray] = {}
        for length, numbers, features in _batches(folder, clips, parts):
            padded = np.zeros((ROWS, length, features[0].shape[1]), np.float32)
            frames = np.full(ROWS, length, np.int32)
            for row, clip in enumerate(features):
                padded[row, : len(clip)], frames[row] = clip, len(clip)
            rows = np.asarray(encode(arrays, padded, frames))
            for row, number in enumerate(numbers):
                codes[number] = rows[row, : encoder.count(frames[row])].astype(encoder.dtype)
    return [codes[number] for number in range(len(parts))]


def _batches(
    folder: ModelFolder, clips: Split, parts: Sequence[ClipPart]
) -> Iterator[tuple[int, list[int], list[Float[np.ndarray, "frames features"]]]]:
    """(frames, numbers, normalised features) of up to `ROWS` parts of like lengths; each clip is read once."""
    statistics = folder.statistics
    waiting: dict[int, tuple[list[int], list[np.ndarray]]] = {}
    clip = -1
    for number, part in enumerate(parts):
        if part.clip != clip:
            clip = part.clip
            persons = [((x - statistics.mean) / statistics.std).astype(np.float32) for x in clips.source[clip].persons]
        length = round_up(part.range.frames, FRAME_STEP)
        numbers, features = waiting.setdefault(length, ([], []))
        numbers.append(number)
        features.append(persons[part.range.person][part.range.start : part.range.stop])
        if len(numbers) == ROWS:
            yield length, *waiting.pop(length)
    for length, (numbers, features) in waiting.items():
        yield length, numbers, features


def _matching(variables: Variables, patterns: Sequence[str]) -> dict[str, np.ndarray]:
    flat = flatten_dict(variables.params, sep="/")
    return {path: np.asarray(x) for path, x in sorted(flat.items()) if matches(path, patterns)}


def _digest(folder: ModelFolder, clips: Split, encoder: ClipEncoder, variables: Variables) -> str:
    """SHA-256 of the encoder's arrays, the normalisation, and which clips there are."""
    digest = hashlib.sha256()
    state = flatten_dict(variables.state, sep="/")
    arrays = {**_matching(variables, encoder.patterns), **{name: np.asarray(state[name]) for name in sorted(state)}}
    for name, array in arrays.items():
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    digest.update(np.asarray([folder.statistics.mean, folder.statistics.std], np.float32).tobytes())
    for name, frames in zip(clips.ids, clips.lengths):
        ranges = [tuple(part) for part in encoder.ranges(frames)]
        digest.update(f"{name} {frames} {ranges}\n".encode())
    return digest.hexdigest()
