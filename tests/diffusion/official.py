"""The official diffusion head with the recorded filler weights."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

from motiongpt3_jax.models import DiffusionHead, HeadConfig
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3Config
from motiongpt3_jax.systems.motiongpt3.official import from_official
from tests.golden import filled

HEAD = DiffusionHead(HeadConfig())


@cache
def head_params() -> dict[str, Any]:
    """Its parameters, on the device."""
    state = filled("diffusion_head")
    return jax.tree.map(jnp.asarray, from_official(state, MotionGPT3Config(), prefix="lm.diffloss.net.")["head"])
