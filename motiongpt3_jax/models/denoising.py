"""Denoising steps of the diffusion head; blocks are a list here, where training scans over a stack.

What a block does to its input depends on condition and time, and not on the latents: `modulate_steps` computes it for
several steps in one product, which reads the larger half of the head's weights once for all of them.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
from jaxtyping import Array, Float, Int

from motiongpt3_jax.models.dense import kernels_transposed, plain_kernels, transpose_kernels
from motiongpt3_jax.models.head import DiffusionHead, ResidualBlock, of_rows

Tree = Any

LAST = "final_modulation"
"""The parameters behind the last block that condition and time alone go through."""


def unstack_blocks(params: Tree) -> Tree:
    """A head's parameters for denoising steps: a list of its blocks instead of a stack, see also `transpose_kernels`.

    Every use of a stack would copy its block. This copies all of them: do it once, before a loop or when a model is
    loaded. Lists stay as they are.
    """
    stacked = params["blocks"]
    if isinstance(stacked, list):
        return params
    depth = len(jax.tree.leaves(stacked)[0])
    blocks = [transpose_kernels(jax.tree.map(lambda x, n=n: x[n], stacked)) for n in range(depth)]
    return {**params, "blocks": blocks, LAST: transpose_kernels(params[LAST])}


def modulate_steps(
    head: DiffusionHead, params: Tree, y: Float[Array, "steps conditions width"]
) -> Sequence[Float[Array, "steps conditions 1 modulation"]]:
    """Modulations of each block, and those behind the last, from sums `y` of pooled condition and time.

    Args:
      head: the head.
      params: its parameters, see `unstack_blocks`.
      y: of the steps that follow.
    """
    y = y[:, :, None]
    last = {LAST: plain_kernels(params[LAST])}
    return (
        *(_block(head, block, y, method="modulate") for block in params["blocks"]),
        _with_product(head, params[LAST]).apply({"params": last}, y, method="modulate_last"),
    )


def denoise_step(
    head: DiffusionHead,
    params: Tree,
    x: Float[Array, "batch tokens latent"],
    modulations: Sequence[Float[Array, "conditions 1 modulation"]],
    condition_index: Int[Array, "batch"] | None = None,
) -> Float[Array, "batch tokens latent"]:
    """`DiffusionHead.denoise` of one step whose modulations are known.

    Args:
      head: the head.
      params: its parameters, see `unstack_blocks`.
      x: noisy latents.
      modulations: of this step, see `modulate_steps`.
      condition_index: the condition of each row, where rows share some.
    """
    ends = {"params": {name: params[name] for name in ("input", "final")}}
    x = head.apply(ends, x, method="enter")
    for block, modulation in zip(params["blocks"], modulations):
        x = _block(head, block, x, of_rows(modulation, condition_index), method="update")
    return head.apply(ends, x, of_rows(modulations[-1], condition_index), method="leave")


def _with_product(head: DiffusionHead, params: Tree) -> DiffusionHead:
    """The head, multiplying as fits how its kernels lie."""
    return head.clone(config=replace(head.config, kernel_first=kernels_transposed(params)))


def _block(head: DiffusionHead, params: Tree, *args: Array, method: str) -> Array:
    block = ResidualBlock(_with_product(head, params).config, head.constrain)
    return block.apply({"params": plain_kernels(params)}, *args, method=method)
