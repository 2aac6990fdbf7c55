"""What older versions wrote, in today's form: configs of model folders, and parameters of checkpoints."""

from collections.abc import Mapping
from typing import Any

from motiongpt3_jax.systems.interface import Tree

LAYOUT_NAMES = {"slots": "max_length", "blind": "unpredictable_targets", "start": "max_position_offset"}
"""Keys of the config's section `layout` before format 2 of model folders, and what they are called now."""


def upgrade_config(config: Mapping[str, Any], version: int) -> Mapping[str, Any]:
    """The config of a model's folder of format 1, which has none written there."""
    if version >= 2 or not isinstance(config.get("layout"), Mapping):
        return config
    layout = {LAYOUT_NAMES.get(key, key): value for key, value in config["layout"].items()}
    return {**config, "layout": layout}


def upgrade_tree(tree: Tree, heads: int) -> Tree:
    """Parameters of an older checkpoint."""
    return tree
