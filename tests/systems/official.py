"""The recorded end-to-end cases of the official implementation, as batches of ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import jax.numpy as jnp
import numpy as np

from motiongpt3_jax.batch import Batch, Example
from motiongpt3_jax.data_pipelines.packing import RowShape, build
from motiongpt3_jax.interop import from_official
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3, MotionGPT3Config, sequence_example
from motiongpt3_jax.systems.motiongpt3.losses import Draws
from motiongpt3_jax.systems.motiongpt3.modules import latent_state
from tests.golden import filled, golden


@dataclass(frozen=True)
class SpecialIds:
    """The official tokenizer's special ids."""

    end: int = 50256
    end_of_motion: int = 50258
    text_vocabulary: int = 50259
    output_holder: int = 50261
    input_holder: int = 50262


IDS = SpecialIds()


@cache
def model() -> tuple[MotionGPT3, Variables]:
    """The full-size model with the recorded filler weights."""
    config = MotionGPT3Config()
    state = filled("e2e")
    params = from_official(state, config)
    return MotionGPT3(config), Variables(jnp_tree(params), latent_state(config))


def jnp_tree(tree: Mapping) -> dict:
    """Arrays on the device."""
    import jax

    return jax.tree.map(jnp.asarray, tree)


def pieces(ids: np.ndarray, frames: int) -> tuple[tuple[tuple[int, int], ...], int]:
    """(frames of each encoded piece, how many are inputs), told from the holders of a sequence."""
    inputs = int((ids == IDS.input_holder).sum()) // 4
    outputs = int((ids == IDS.output_holder).sum()) // 4
    head, tail = int(0.2 * frames), (int(0.25 * frames), int(0.75 * frames))
    return {
        (0, 1): (((0, frames),), 0),
        (1, 0): (((0, frames),), 1),
        (1, 1): (((0, head), (head, frames)), 1),
        (2, 1): (((0, tail[0]), (tail[1], frames), (0, frames)), 2),
    }[inputs, outputs]


def examples(data: Mapping[str, np.ndarray], case: str, clips: bool = True) -> list[Example]:
    """One example per recorded sequence, laid out as the official code lays it out."""
    made = []
    for number, (ids, mask) in enumerate(zip(data[f"{case}_ids"], data[f"{case}_mask"])):
        ranges, inputs = pieces(ids, int(data["lengths"][number]))
        made.append(
            sequence_example(
                number,
                ids,
                mask.astype(bool),
                np.ones(len(ids), bool),
                IDS,
                ranges if clips else ranges[:inputs],
                inputs=inputs,
                interleave=True,
                blind=True,
            )
        )
    return made


def batch_of(data: Mapping[str, np.ndarray], rows: list[Example]) -> Batch:
    """One row per example."""
    shape = RowShape(
        slots=(("text", max(len(e.streams["text"].ids) for e in rows)), ("motion", 16)),
        clips=((data["features"].shape[1], max(1, *(len(e.clips) for e in rows))),),
        outputs=1,
        samples=1,
    )
    return build([[e] for e in rows], lambda n: data["features"][n], shape, data["features"].shape[2])


def recorded_draws(data: Mapping[str, np.ndarray], case: str, batch: Batch, repeats: int = 4) -> Draws:
    """The random numbers that the official code used, in the places where ours are looked up."""
    latent = np.zeros((*batch.clip_frames.shape, 1, data[f"{case}_vae_eps"].shape[-1]), np.float32)
    latent[batch.clip_frames > 0] = data[f"{case}_vae_eps"][:, None]
    real = batch.output_clip >= 0
    time = np.zeros((*real.shape, repeats), np.float32)
    drop = np.ones_like(time)
    noise = np.zeros((*time.shape, *latent.shape[2:]), np.float32)
    if f"{case}_t" in data:
        # Recorded as the whole batch, four times over.
        time[real] = (data[f"{case}_t"].reshape(repeats, -1).T + 0.5) / 1000
        drop[real] = 1.0 - data[f"{case}_drop"].reshape(repeats, -1).T
        noise[real] = data[f"{case}_noise"].reshape(repeats, -1, *latent.shape[2:]).swapaxes(0, 1)
    return Draws(latent=latent, time=time, noise=noise, drop=drop)


def end_to_end() -> Mapping[str, np.ndarray]:
    """The recorded cases, read once."""
    return {**golden("e2e")}
