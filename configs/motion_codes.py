"""Values of configs that systems with motion as tokens of a language model share, each with its comment."""

from typing import Any

from motiongpt3_jax.configs import sections
from motiongpt3_jax.configs.sections import data, optimizer

TOKENIZER = ("vqvae/.*",)
KERNELS = (".*kernel",)

OBJECTIVES = {
    "tokenizer": {
        # Weight of the distance of all features.
        "features": 1.0,
        # Weight of the distance of the joint positions (officially called velocity).
        "positions": 0.5,
        # Weight of the squared distance of what is encoded from its code.
        "commit": 0.02,
        # How far a decoded number is from its target: "smooth_l1", "l1", or the square "l2".
        "distance": "smooth_l1",
    },
    "language": {
        # Weight of the cross-entropy of the next token.
        "text": 1.0,
        # Whether dropout is active.
        "dropout": True,
        # Share of the samples that are words alone, to which a T5 applies span corruption.
        "words_alone": 0.0,
        # Share of the samples that are motion alone.
        "motion_alone": 0.0,
        # Share of the ids of such a sample that span corruption hides.
        "hidden": 0.15,
        # Mean length of a hidden span.
        "span": 3.0,
        # The adapter of `model.lora` that is used; empty for none.
        "adapter": "",
    },
}
"""What each loss weighs."""


LONGEST = 196
"""Frames of the longest clip of HumanML3D, as published."""

CLIPS = ((64, 6), (128, 5), (196, 7))
"""Clips of a row of the language stages, by their length."""


def clips(source: str) -> dict[str, Any]:
    """Where the clips come from, and when the language model's are encoded."""
    return {
        **data(source, max_frames=LONGEST, crop=False),
        # "cached": all clips are encoded once, before a stage of the language model begins, into the run's folder. Then
        # steps are shorter, and no clip of theirs is cut (`crop`). "online": each step encodes its clips.
        "codes": "cached",
    }


def vqvae() -> dict[str, Any]:
    """The published tokenizer of motion."""
    return {
        # Of the hidden states.
        "width": 512,
        # Of a code.
        "code_width": 512,
        # Rows of the codebook.
        "codes": 512,
        # Residual blocks at each frame rate.
        "depth": 3,
        # Dilation of a residual block over that of the next one.
        "dilation_growth": 3,
        # Whether unused codes are re-seeded from random places of a batch (officially from its first ones).
        "permute": True,
    }


def layout() -> dict[str, Any]:
    """How sequences are laid out."""
    return {
        # Longest question and longest answer, or both together of a decoder alone; longer ones lose words.
        "max_length": 256,
        # Whether lengths are told in codes, pieces are cut from the codes of whole clips, and so on (officially so).
        "official": False,
    }


def stage(
    loss: str,
    trainable: tuple[str, ...],
    steps: int,
    *,
    rate: float,
    rows: int,
    clips: tuple[tuple[int, int], ...],
    samples: int,
    slots: dict[str, int] | None = None,
    window: int = 0,
    templates: str = "",
    subtasks: tuple[tuple[str, float], ...] = (),
    muon: tuple[str, ...] = (),
    **objective: float,
) -> dict[str, Any]:
    """One stage; `objective` are the weights and switches of its loss that are not those of `OBJECTIVES`."""
    objective = {**OBJECTIVES[loss], **objective}
    rows_of = batch(rows, slots or {}, clips, samples, window)
    return sections.stage(loss, objective, trainable, steps, optimizer(rate, muon=muon), rows_of, templates, subtasks)


def batch(
    rows: int, slots: dict[str, int], clips: tuple[tuple[int, int], ...], samples: int, window: int
) -> dict[str, Any]:
    """How much a batch of a stage holds."""
    return {
        # Rows of a batch, over all devices; with `mesh.rows` "per_shard", of each of data x fsdp devices.
        "rows": rows,
        # Tokens of each stream in a row.
        "slots": slots,
        # (frames, clips): so many clips of at most so many frames in a row, from short to long.
        "clips": clips,
        # Samples in a row at most.
        "samples": samples,
        # Frames of a clip that the tokenizer of motion sees at a visit; 0 for all.
        "window": window,
    }
