"""The parts of a model that come trained from elsewhere: the VAE, the text branch, and all that joins them."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from motiongpt3_jax.interop.gpt2 import TEXT

PARTS = {"vae": re.compile(r"vae/.*"), "text": TEXT, "motion": re.compile(r".*")}
"""The parameters of each part, by their paths: the first pattern that fits says it."""

TEXT_SIZES = ("width", "layers", "heads", "max_positions")
SIZES = {
    "vae": {"vae": ("width", "layers", "heads", "mlp_width", "latents", "max_frames")},
    "text": {"decoder": TEXT_SIZES},
    "motion": {
        "decoder": (*TEXT_SIZES, "motion_factor", "attention_mode"),
        "head": ("width", "depth", "heads", "time"),
    },
}
"""The values of a config's section `model` that each part was trained with and cannot do without."""

KINDS = {"whole": ("vae", "text", "motion"), "vae": ("vae",), "text": ("text",)}
"""The parts that each kind of checkpoint brings."""


def of_parts(params: Mapping[str, Any], parts: Collection[str], path: str = "") -> dict[str, Any]:
    """The nested parameters of some parts alone."""
    found = {}
    for name, value in params.items():
        here = f"{path}{name}"
        if isinstance(value, Mapping):
            below = of_parts(value, parts, f"{here}/")
            found |= {name: below} if below else {}
        elif next(part for part, pattern in PARTS.items() if pattern.fullmatch(here)) in parts:
            found[name] = value
    return found


def differences(trained: Mapping[str, Any], wanted: Mapping[str, Any], parts: Collection[str]) -> list[str]:
    """What to add to a `train` command so that the config has the sizes of parts that come trained.

    Args:
      trained: the section `model` of the config that they were trained with.
      wanted: that of the config to come.
      parts: which parts are taken.
    """
    found = {}
    for part in parts:
        for section, names in SIZES[part].items():
            for name in names:
                if trained[section][name] != wanted[section][name]:
                    found[f"--config.model.{section}.{name}"] = trained[section][name]
    return [f"{name}={value}" for name, value in found.items()]
