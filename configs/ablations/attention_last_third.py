"""The streams attend to each other in the last third of the layers."""

from ml_collections import ConfigDict

from motiongpt3_jax.configs.ablations import start


def get_config(variant: str = "base") -> ConfigDict:
    """The config of a variant, `base` or `tiny`."""
    config = start(variant)
    config.model.decoder.attention_mode = "last_third"
    return config
