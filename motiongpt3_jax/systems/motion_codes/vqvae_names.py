"""The name table of T2M-GPT's VQ-VAE, which MotionGPT and MotionLLM have under names of their own, and its sizes.

The published files hold the vectors of the codes alone, without the moving averages behind them.
"""

import re
from typing import Any

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models import VqVaeConfig
from motiongpt3_jax.models.codebook import Codebook
from motiongpt3_jax.systems.motion_codes.build import DOWNSAMPLES
from motiongpt3_jax.tensors.layer_entries import convolution
from motiongpt3_jax.tensors.name_table import Entries, Entry
from motiongpt3_jax.tensors.read_sizes import Shapes, count_layers, shape_of

WITHOUT_AVERAGES = (
    "the checkpoint holds the vectors of the codes without their moving averages: a training of the motion tokenizer "
    "goes on as if each code had been used once"
)
"""What there is to say of such a file that is read."""

AVERAGES_LEFT_OUT = (
    "The official code saves the vectors of the codes alone: the moving averages with which a training of the motion "
    "tokenizer would go on are left out."
)
"""The same of one that is written."""


def vqvae_entries(config: VqVaeConfig, prefix: str) -> Entries:
    """The motion tokenizer: convolutions, and the vectors of its codes.

    Args:
      config: its sizes.
      prefix: what names begin with, "vae." or "vqvae.".
    """
    yield Entry(f"{prefix}quantizer.codebook", "state/codebook/table", (config.codes, config.code_width))
    width, last = config.width, 2 + config.downsamples
    for half, ours, stack in (("encoder", "down_{}", 1), ("decoder", "up_{}", 0)):
        model, path, encoder = f"{prefix}{half}.model", f"vqvae/{half}", half == "encoder"
        ends = (config.features, config.code_width) if encoder else (config.code_width, config.features)
        yield from convolution(f"{model}.0", f"{path}/conv_in", ends[0], width, 3)
        for level in range(config.downsamples):
            theirs = f"{model}.{2 + level}"
            resampling = f"{theirs}.0" if encoder else f"{theirs}.2"
            yield from convolution(resampling, f"{path}/{ours.format(level)}", width, width, 4 if encoder else 3)
            for block in range(config.depth):
                residual, place = f"{theirs}.{stack}.model.{block}", f"{path}/stack_{level}/block_{block}"
                yield from convolution(f"{residual}.conv1", f"{place}/dilated", width, width, 3)
                yield from convolution(f"{residual}.conv2", f"{place}/pointwise", width, width, 1)
        if not encoder:
            yield from convolution(f"{model}.{last}", f"{path}/conv_mid", width, width, 3)
        yield from convolution(f"{model}.{last if encoder else last + 2}", f"{path}/conv_out", width, ends[1], 3)


def vqvae_sizes(shapes: Shapes, prefix: str) -> dict[str, Any]:
    """The values of a config's section `model.vqvae` that shapes say; dilations they do not.

    Raises:
      UserError: a tensor that tells a size is missing, or a code stands for another number of frames.
    """
    codes, code_width = shape_of(shapes, f"{prefix}quantizer.codebook", 2)
    encoder = re.escape(f"{prefix}encoder.model")
    downsamples = count_layers(shapes, rf"{encoder}\.(\d+)\.1\.model\.")
    if downsamples != DOWNSAMPLES:
        raise UserError(
            f"the VQ-VAE halves the frames {downsamples} times; {DOWNSAMPLES} are read, a code for four frames"
        )
    return {
        "width": shape_of(shapes, f"{prefix}encoder.model.0.weight", 3)[0],
        "code_width": code_width,
        "codes": codes,
        "depth": count_layers(shapes, rf"{encoder}\.2\.1\.model\.(\d+)\."),
    }


def vqvae_features(shapes: Shapes, prefix: str) -> int:
    """Width of a frame."""
    return shape_of(shapes, f"{prefix}encoder.model.0.weight", 3)[1]


def codebook_of(table: np.ndarray) -> Codebook:
    """A codebook that goes on as if each code had replaced its own vector once."""
    return Codebook(table=table, sums=table, counts=np.ones(len(table), np.float32), initialised=np.ones((), bool))
