"""How the published code asks."""

from collections.abc import Mapping

from motiongpt3_jax.text import load_templates

OFFICIAL_TEMPLATES = "alpaca"
"""The set of templates of the published code: one instruction for each of its two tasks, in the style of Alpaca."""


def official_questions() -> Mapping[str, Mapping[str, str]]:
    """What the published code asks, by style and task."""
    return {"official_eval": {x.task: x.inputs[0] for x in load_templates(OFFICIAL_TEMPLATES).values()}}
