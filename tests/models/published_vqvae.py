"""The published VQ-VAE: its sizes, and its official weights as ours, for tests of the models alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from motiongpt3_jax.models import VqVaeConfig

CONFIG = VqVaeConfig(
    features=263,
    width=512,
    code_width=512,
    codes=512,
    downsamples=2,
    depth=3,
    dilation_growth=3,
    dtype="float32",
)

TERM_WEIGHTS = {"features": 1.0, "positions": 0.5, "commit": 0.02}
"""Of the published loss."""

SMALLEST_MARGIN = 1e-2
"""Gap of the two least squared distances above which float32 knows the nearest code."""


def official_names() -> dict[str, str]:
    """Official name of every convolution by our path."""
    names = {"encoder/conv_in": "encoder.model.0", "decoder/conv_in": "decoder.model.0"}
    for level in range(CONFIG.downsamples):
        place = 2 + level
        names[f"encoder/down_{level}"] = f"encoder.model.{place}.0"
        names[f"decoder/up_{level}"] = f"decoder.model.{place}.2"
        for block in range(CONFIG.depth):
            for part, conv in {"dilated": "conv1", "pointwise": "conv2"}.items():
                path = f"stack_{level}/block_{block}/{part}"
                names[f"encoder/{path}"] = f"encoder.model.{place}.1.model.{block}.{conv}"
                names[f"decoder/{path}"] = f"decoder.model.{place}.0.model.{block}.{conv}"
    last = 2 + CONFIG.downsamples
    return names | {
        "encoder/conv_out": f"encoder.model.{last}",
        "decoder/conv_mid": f"decoder.model.{last}",
        "decoder/conv_out": f"decoder.model.{last + 2}",
    }


def from_official(state: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], np.ndarray]:
    """Our parameters and the codebook's table of an official state dict."""
    flat = {}
    for path, name in official_names().items():
        flat[f"{path}/kernel"] = state[f"vae.{name}.weight"].transpose(2, 1, 0)
        flat[f"{path}/bias"] = state[f"vae.{name}.bias"]
    return unflatten_dict(flat, sep="/"), state["vae.quantizer.codebook"]


def official_params(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """A tree of the shape of our parameters under the official names, without their common beginning."""
    flat, state = flatten_dict(params, sep="/"), {}
    for path, name in official_names().items():
        state[f"{name}.weight"] = np.asarray(flat[f"{path}/kernel"]).transpose(2, 1, 0)
        state[f"{name}.bias"] = np.asarray(flat[f"{path}/bias"])
    return state
