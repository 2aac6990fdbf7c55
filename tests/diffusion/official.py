"""The official diffusion head with the recorded filler weights, and the official noise schedule."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

from motiongpt3_jax.diffusion import linear_beta
from motiongpt3_jax.models import DiffusionHead
from motiongpt3_jax.systems.motiongpt3.official import from_official
from tests.golden import filled
from tests.systems.published import PUBLISHED

HEAD = DiffusionHead(PUBLISHED.head)
SCHEDULE = linear_beta(PUBLISHED.diffusion_steps, *PUBLISHED.betas)


@cache
def head_params() -> dict[str, Any]:
    """Its parameters, on the device."""
    state = filled("diffusion_head")
    return jax.tree.map(jnp.asarray, from_official(state, PUBLISHED, prefix="lm.diffloss.net.")["head"])
