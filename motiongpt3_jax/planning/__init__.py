"""Plans: what a config takes on a slice of chips, from its compiled programs, before a chip is paid for."""

from motiongpt3_jax.planning.answer_plan import AnswerPlan, Requests, plan_answers
from motiongpt3_jax.planning.make_plan import plan
from motiongpt3_jax.planning.results import Plan, StagePlan
from motiongpt3_jax.planning.scaling import Scaling, plan_scaling
from motiongpt3_jax.planning.search import Search, search_settings

__all__ = [
    "AnswerPlan",
    "Plan",
    "Requests",
    "Scaling",
    "Search",
    "StagePlan",
    "plan",
    "plan_answers",
    "plan_scaling",
    "search_settings",
]
