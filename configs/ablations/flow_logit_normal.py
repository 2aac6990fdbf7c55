"""Rectified flow instead of noise prediction, with times drawn logit-normally."""

from ml_collections import ConfigDict

from motiongpt3_jax.configs.ablations import start


def get_config(variant: str = "base") -> ConfigDict:
    """The config of a variant, `base` or `tiny`."""
    config = start(variant)
    config.model.update({"flow": True, "times": "logit_normal"})
    return config
