"""The streams attend to each other in every other layer."""

from ml_collections import ConfigDict

from motiongpt3_jax.configs.ablations import start


def get_config(variant: str = "base") -> ConfigDict:
    """The config of a variant, `base` or `tiny`."""
    config = start(variant)
    config.model.decoder.attention_mode = "odd"
    return config
