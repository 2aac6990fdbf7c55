"""Eight motion slots for each clip instead of four."""

from ml_collections import ConfigDict

from motiongpt3_jax.configs.ablations import start


def get_config(variant: str = "base") -> ConfigDict:
    """The config of a variant, `base` or `tiny`."""
    config = start(variant)
    config.model.holders = 8
    for stage in config.stages.values():
        stage.batch.motion_slots *= 2
    return config
