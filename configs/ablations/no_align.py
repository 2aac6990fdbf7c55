"""Instructions follow generation at once, without the stage `align_bare`; `tiny` then ends with `generate`."""

from ml_collections import ConfigDict

from motiongpt3_jax.configs.ablations import start


def get_config(variant: str = "base") -> ConfigDict:
    """The config of a variant, `base` or `tiny`."""
    config = start(variant)
    config.run = tuple(name for name in config.run if name != "align_bare")
    return config
