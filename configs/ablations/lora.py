"""LoRA adapters on the frozen text branch, which train with the motion branch wherever that trains."""

from ml_collections import ConfigDict

from motiongpt3_jax.configs import motiongpt3
from motiongpt3_jax.configs.ablations import language_stages, start
from motiongpt3_jax.configs.sections import adapter

RANKS = {"base": 16, "tiny": 4}


def get_config(variant: str = "base") -> ConfigDict:
    """The config of a variant, `base` or `tiny`."""
    config = start(variant)
    config.model.lora = {"text": adapter(RANKS[variant], ("text/.*",))}
    for name in language_stages(config):
        stage = config.stages[name]
        stage.trainable = (*motiongpt3.MOTION, ".*/lora/text/.*")
        stage.objective.adapter = "text"
    return config
