"""Nothing changed: what the others are compared with."""

from ml_collections import ConfigDict

from motiongpt3_jax.configs.ablations import start


def get_config(variant: str = "base") -> ConfigDict:
    """The config of a variant, `base` or `tiny`."""
    return start(variant)
