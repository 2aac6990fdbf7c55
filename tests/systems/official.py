"""The recorded end-to-end cases of the official implementation, as batches of ours.

All cases share one shape, so that each program compiles once.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.batch import Batch, ClipRange, Example, RowShape
from motiongpt3_jax.data_pipelines.packing import build
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3, sequence_example
from motiongpt3_jax.systems.motiongpt3.layout import SCHEMA
from motiongpt3_jax.systems.motiongpt3.losses import Draws
from motiongpt3_jax.systems.motiongpt3.modules import latent_state
from motiongpt3_jax.systems.motiongpt3.official import from_official
from motiongpt3_jax.systems.motiongpt3.prompts import (
    MOTION_INPUT,
    MOTION_OUTPUT,
    TOKEN_SPEC,
    TokenIds,
    compose,
    fill_input,
    fill_output,
)
from motiongpt3_jax.text import load_tokenizer
from tests.golden import FOLDER, filled, golden
from tests.systems.published import PUBLISHED

Data = Mapping[str, np.ndarray]
END, CAPTION = "<|endoftext|>", "<Caption_Placeholder>"
CLIPS = 3
"""Most clips that one recorded sample encodes."""

QUESTIONS = {
    ("t2m", 0, 8): f"Show me a motion that conveys the meaning of {CAPTION}",
    ("t2m", 0, 45): f"Produce a motion that symbolizes the meaning of {CAPTION}",
}
"""Official templates by (task, input motions, number) that gradient cases use and no recorded text shows."""


IDS = TokenIds(
    end=50256,
    start_of_motion=50257,
    end_of_motion=50258,
    text_vocabulary=50259,
    output_holder=50261,
    input_holder=50262,
)


@cache
def model() -> tuple[MotionGPT3, Variables]:
    """The full-size model with the recorded filler weights."""
    params = from_official(filled("e2e"), PUBLISHED)
    return MotionGPT3(PUBLISHED), Variables(jax.tree.map(jnp.asarray, params), latent_state(PUBLISHED))


def end_to_end() -> Data:
    """The recorded cases, read once."""
    return {**golden("e2e")}


def cases(prefix: str, suffix: str) -> list[str]:
    """Names of the recorded cases, `<prefix>...<suffix>` without the suffix."""
    try:
        names = golden("e2e").files
    except pytest.skip.Exception:
        return [f"{prefix}t2m"]
    return sorted(n.removesuffix(suffix) for n in names if n.startswith(prefix) and n.endswith(suffix))


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


def examples(data: Data, case: str, clips: bool = True) -> list[Example]:
    """One example per recorded sequence, laid out as the official code lays it out.

    Args:
      data: the fixture.
      case: name of the case.
      clips: whether to encode the clips to generate too.
    """
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
                tuple(ClipRange(*piece) for piece in (ranges if clips else ranges[:inputs])),
                inputs=inputs,
                interleave=True,
                unpredictable_targets=True,
            )
        )
    return made


def prompt_examples(data: Data, case: str) -> list[Example]:
    """The same for prompts, which are recorded with padding on the left: without it, positions from 0."""
    made = []
    for example, mask in zip(examples(data, case), data[f"{case}_mask"]):
        text, motion = (
            replace(
                s,
                ids=s.ids[s.attended],
                positions=s.positions[s.attended] - int(np.argmax(mask)),
                attended=s.attended[s.attended],
            )
            for s in (example.streams["text"], example.streams["motion"])
        )
        nothing = np.zeros(len(text.ids))
        text = replace(text, targets=nothing.astype(np.int32), weights=nothing)
        made.append(replace(example, streams={"text": text, "motion": motion}))
    return made


def batch_of(data: Data, rows: list[Example], text: int | None = None) -> Batch:
    """One row per example.

    Args:
      data: the fixture.
      rows: what the recorded sequences became.
      text: text slots; None for as many as the longest recorded sequence has positions.
    """
    recorded = [value for name, value in data.items() if name.endswith("_ids")]
    motion = max(int((ids >= IDS.text_vocabulary).sum(axis=1).max()) for ids in recorded)
    shape = RowShape(
        slots=(("text", text or max(ids.shape[1] for ids in recorded)), ("motion", motion)),
        clips=((data["features"].shape[1], CLIPS),),
        samples=1,
        capacities=(("outputs", 1),),
    )
    return build([[e] for e in rows], lambda n, _: data["features"][n], shape, SCHEMA, data["features"].shape[2])


def recorded_latent_noise(data: Data, case: str, batch: Batch, clips: bool = True) -> np.ndarray:
    """Normals of the encoded clips' posteriors, in the places where ours are looked up.

    Args:
      data: the fixture.
      case: name of the case.
      batch: its batch.
      clips: whether the batch encodes every clip that the official code encoded, or each row's first ones alone.
    """
    width = data["train_t2m_vae_eps"].shape[-1]
    noise = np.zeros((*batch.clip_frames.shape, 1, width), np.float32)
    if f"{case}_vae_eps" not in data:
        return noise
    recorded = data[f"{case}_vae_eps"][:, None]
    if clips:
        noise[batch.clip_frames > 0] = recorded
    else:
        per_row = recorded.reshape(len(noise), -1, 1, width)
        noise[:, : per_row.shape[1]] = per_row
    return noise


def recorded_draws(data: Data, case: str, batch: Batch, repeats: int = 4) -> Draws:
    """The random numbers that the official code used, in the places where ours are looked up."""
    latent = recorded_latent_noise(data, case, batch)
    real = batch.extra["output_clip"] >= 0
    time = np.zeros((*real.shape, repeats), np.float32)
    drop = np.ones_like(time)
    noise = np.zeros((*time.shape, *latent.shape[2:]), np.float32)
    if f"{case}_t" in data:
        # Recorded as the whole batch, four times over.
        time[real] = (data[f"{case}_t"].reshape(repeats, -1).T + 0.5) / 1000
        drop[real] = 1.0 - data[f"{case}_drop"].reshape(repeats, -1).T
        noise[real] = data[f"{case}_noise"].reshape(repeats, -1, *latent.shape[2:]).swapaxes(0, 1)
    return Draws(latent=latent, time=time, noise=noise, drop=drop)


def gradient_cases() -> list[str]:
    """The gradient cases whose texts are known."""
    names = cases("grad_", "_total")
    try:
        data = golden("e2e")
    except pytest.skip.Exception:
        return names
    return [case for case in names if f"{case}_ids" in data or None not in gradient_texts(data, case)]


def gradient_examples(data: Data, case: str) -> list[Example]:
    """Of gradient cases the draws are recorded; their sequences follow from the chosen templates and the coins."""
    if f"{case}_ids" in data:
        return examples(data, case)
    folder = Path(os.environ.get("MOTION_GPT2_DIR") or FOLDER.parent / "tokenizer" / "gpt2")
    if not folder.is_dir():
        pytest.skip(f"GPT-2's tokenizer is not at {folder}; set MOTION_GPT2_DIR")
    tokenizer, train = load_tokenizer(folder, TOKEN_SPEC), f"train_{case.rsplit('_', 1)[1]}"
    ids = np.full_like(data[f"{train}_ids"], IDS.end)
    mask = np.zeros(ids.shape, np.int8)
    for row, text in enumerate(gradient_texts(data, case)):
        own = tokenizer.encode(text)
        ids[row, : len(own)], mask[row, : len(own)] = own, 1
    return examples({**data, f"{case}_ids": ids, f"{case}_mask": mask}, case)


def gradient_texts(data: Data, case: str) -> list[str | None]:
    """The texts of a gradient case; None where the template is not known."""
    task = case.rsplit("_", 1)[1]
    known, answers = dict(QUESTIONS), {}
    for row in _rows(data, f"train_{task}"):
        question, answer = row.text.removesuffix(END).split(" \n ")
        question = question.replace(MOTION_INPUT, "<Motion_Placeholder>")
        known[task, row.inputs, row.choice] = question.replace(
            fill_input(CAPTION, row.caption, row.frames, row.coins[0]), CAPTION
        )
        answers[row.inputs] = "<Motion_Placeholder>" if answer == MOTION_OUTPUT else CAPTION
    found: list[str | None] = []
    for row in _rows(data, f"train_{task}", case):
        template = known.get((task, row.inputs, row.choice))
        asked = template and fill_input(template, row.caption, row.frames, row.coins[0])
        answer = fill_output(answers[row.inputs], row.caption, row.frames, row.coins[1])
        found.append(asked and compose(asked, answer))
    return found


@dataclass(frozen=True)
class _Row:
    """What is recorded of one sample's text."""

    text: str
    caption: str
    frames: int
    inputs: int
    choice: int
    coins: tuple[float, float]


def _rows(data: Data, train: str, draws: str | None = None) -> list[_Row]:
    """The samples of a training case, with the choices and coins of another one."""
    draws = draws or train
    return [
        _Row(
            text=str(data[f"{train}_strings"][row]),
            caption=str(data["captions"][row]),
            frames=int(data["lengths"][row]),
            inputs=pieces(ids, int(data["lengths"][row]))[1],
            choice=int(data[f"{draws}_choices"][1 + 2 * row]),
            coins=tuple(data[f"{draws}_coins"][2 * row : 2 * row + 2]),
        )
        for row, ids in enumerate(data[f"{train}_ids"])
    ]
