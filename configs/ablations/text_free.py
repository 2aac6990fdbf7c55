"""The text branch trains together with the motion branch instead of being frozen."""

from ml_collections import ConfigDict

from motiongpt3_jax.configs.ablations import free_text, start


def get_config(variant: str = "base") -> ConfigDict:
    """The config of a variant, `base` or `tiny`."""
    config = start(variant)
    free_text(config)
    return config
