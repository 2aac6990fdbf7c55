"""A tiny two-branch decoder of Llama's family, its motion branch at a quarter of the width."""

import jax

from motiongpt3_jax.parallel.sharding import path_name

LLAMA = (
    "model.decoder.family=llama",
    "model.decoder.kv_heads=2",
    "model.decoder.mlp_width=48",
    "model.decoder.norm_eps=1e-6",
    "model.decoder.rope_theta=500.0",
    "model.decoder.rope_scaling=(8.0, 1.0, 4.0, 64)",
    "model.decoder.tied=False",
    "model.decoder.motion_factor=0.25",
)
"""Overrides of `motiongpt3:test`."""


def paths_of(tree):
    """Shapes by the paths of their parameters."""
    return {path_name(path): x.shape for path, x in jax.tree.leaves_with_path(tree)}
