"""Text and motion through one branch, as wide as the text's, with the same latents and head; all of it trains."""

from ml_collections import ConfigDict

from motiongpt3_jax.configs.ablations import free_text, start


def get_config(variant: str = "base") -> ConfigDict:
    """The config of a variant, `base` or `tiny`."""
    config = start(variant)
    config.model.decoder.branches = 1
    free_text(config)
    return config
