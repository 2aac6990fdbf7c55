"""A head that never sees the null condition; sample it with a guidance scale of 1."""

from ml_collections import ConfigDict

from motiongpt3_jax.configs.ablations import language_stages, start


def get_config(variant: str = "base") -> ConfigDict:
    """The config of a variant, `base` or `tiny`."""
    config = start(variant)
    for name in language_stages(config):
        config.stages[name].objective.condition_dropout = 0.0
    return config
