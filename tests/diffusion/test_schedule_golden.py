"""Schedules and their respacings against the official tables."""

import re

import numpy as np
import pytest

from motiongpt3_jax.diffusion import linear_beta, respace
from tests.diffusion.official import SCHEDULE
from tests.golden import compare, golden
from tests.systems.published import PUBLISHED

pytestmark = pytest.mark.golden

NAMES = {"timestep_map": "timesteps"}


def recorded():
    """(prefix, steps, table) of every recorded table."""
    try:
        names = golden("diffusion_head").files
    except pytest.skip.Exception:
        return [("sched", 1000, "betas")]
    matches = (re.fullmatch(r"(sched|respace)(\d+)_(.+)", name) for name in names)
    return [(match[1], int(match[2]), match[3]) for match in matches if match]


@pytest.mark.parametrize(("kind", "steps", "table"), recorded())
def test_tables_equal_the_official_ones(kind, steps, table):
    schedule = linear_beta(steps, *PUBLISHED.betas) if kind == "sched" else respace(SCHEDULE, steps)
    wanted = golden("diffusion_head")[f"{kind}{steps}_{table}"]
    if table == "posterior_log_variance_clipped":
        # The first variance is 0; officially the second takes its place.
        ours = np.log(np.append(schedule.posterior_variance[1], schedule.posterior_variance[1:]))
    else:
        ours = getattr(schedule, NAMES.get(table, table))
    assert np.issubdtype(ours.dtype, np.integer if table in NAMES else np.float64)
    compare(f"diffusion_head/{kind}{steps}_{table}", ours, wanted, atol=0, rtol=1e-9)
