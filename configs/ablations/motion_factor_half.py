"""A motion branch of half the text branch's width."""

from ml_collections import ConfigDict

from motiongpt3_jax.configs.ablations import start


def get_config(variant: str = "base") -> ConfigDict:
    """The config of a variant, `base` or `tiny`."""
    config = start(variant)
    config.model.decoder.motion_factor = 0.5
    return config
