"""Procedural captioned motions of two people: the embedded data set of interactions, made from parameters."""

from motiongpt3_jax.data_pipelines.procedural_pairs.generate import (
    Options,
    PairPerformance,
    clips,
    generate,
    is_held_out,
    possible_interactions,
    sentences,
)
from motiongpt3_jax.data_pipelines.procedural_pairs.interaction import Interaction
from motiongpt3_jax.data_pipelines.procedural_pairs.scenes import SCENES

__all__ = [
    "SCENES",
    "Interaction",
    "Options",
    "PairPerformance",
    "clips",
    "generate",
    "is_held_out",
    "possible_interactions",
    "sentences",
]
