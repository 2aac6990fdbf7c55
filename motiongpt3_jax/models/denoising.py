"""Denoising steps of the diffusion head; blocks are a list here, where training scans over a stack.

What a block does to its input depends on condition and time, and not on the latents: `modulate_steps` computes it for
several steps in one product, which reads the larger half of the head's weights once for all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from jaxtyping import Array, Float, Int

from motiongpt3_jax.models.dense import kernels_transposed, plain_kernels, transpose_kernels, unstack
from motiongpt3_jax.models.head import DiffusionHead, ResidualBlock, of_rows

Tree = Any

ENDS = ("input", "final_modulation", "final")
"""The head's dense layers before and behind the blocks."""


def unstack_blocks(params: Tree) -> Tree:
    """A head's parameters for denoising steps: a list of its blocks instead of a stack, see `unstack`."""
    if isinstance(params["blocks"], list):
        return params
    return {**params, **{name: transpose_kernels(params[name]) for name in ENDS}, "blocks": unstack(params["blocks"])}


def modulate_steps(
    head: DiffusionHead, params: Tree, y: Float[Array, "steps conditions width"]
) -> Sequence[Float[Array, "steps conditions 1 modulation"]]:
    """Modulations of each block, and those behind the last, from sums `y` of pooled condition and time.

    Args:
      head: the head.
      params: its parameters, see `unstack_blocks`.
      y: of the steps that follow.
    """
    ends, blocks = _bound(head, params)
    y = y[:, :, None]
    return (*(block(y, method="modulate") for block in blocks), ends(y, method="modulate_last"))


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
    ends, blocks = _bound(head, params)
    *of_blocks, last = (of_rows(one, condition_index) for one in modulations)
    x = ends(x, method="enter")
    for block, modulation in zip(blocks, of_blocks, strict=True):
        x = block(x, modulation, method="update")
    return ends(x, last, method="leave")


def _bound(head: DiffusionHead, params: Tree) -> tuple[Callable[..., Array], list[Callable[..., Array]]]:
    """(`apply` of the head without its blocks, that of each block), with their parameters."""
    config = replace(head.config, kernel_first=kernels_transposed(params["blocks"]))
    block = ResidualBlock(config, head.constrain)
    ends = {name: plain_kernels(params[name]) for name in ENDS}
    return (
        partial(DiffusionHead(config, head.constrain).apply, {"params": ends}),
        [partial(block.apply, {"params": plain_kernels(one)}) for one in params["blocks"]],
    )
