"""Procedural captioned motions: the embedded data set, made from parameters, with nothing to download."""

from motiongpt3_jax.data_pipelines.procedural.actions import ACTIONS
from motiongpt3_jax.data_pipelines.procedural.generate import (
    CLIPS,
    SPLITS,
    Options,
    Performance,
    clips,
    generate,
    indices,
    is_held_out,
    possible_moves,
    sentences,
    split_of,
    split_of_sentence,
)
from motiongpt3_jax.data_pipelines.procedural.move import Move
from motiongpt3_jax.data_pipelines.procedural.perform import perform
from motiongpt3_jax.data_pipelines.procedural.score import Style

__all__ = [
    "ACTIONS",
    "CLIPS",
    "SPLITS",
    "Move",
    "Options",
    "Performance",
    "Style",
    "clips",
    "generate",
    "indices",
    "is_held_out",
    "perform",
    "possible_moves",
    "sentences",
    "split_of",
    "split_of_sentence",
]
