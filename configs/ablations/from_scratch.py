"""No pretrained text branch: without the stage `text`, and both branches train together."""

from ml_collections import ConfigDict

from motiongpt3_jax.configs.ablations import free_text, start


def get_config(variant: str = "base") -> ConfigDict:
    """The config of a variant, `base` or `tiny`."""
    config = start(variant)
    config.run = tuple(name for name in config.run if name != "text")
    free_text(config)
    return config
