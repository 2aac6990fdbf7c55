"""Plans: what a config takes on a slice of chips, from its compiled programs, before a chip is paid for."""

from motiongpt3_jax.planning.make_plan import plan
from motiongpt3_jax.planning.results import Plan, StagePlan

__all__ = ["Plan", "StagePlan", "plan"]
