"""GPT-2 as the text branch; in `tiny`, for which there is none, four times the steps of the stage `text`."""

from ml_collections import ConfigDict

from motiongpt3_jax.configs.ablations import start


def get_config(variant: str = "base") -> ConfigDict:
    """The config of a variant, `base` or `tiny`."""
    config = start(variant)
    if variant == "tiny":
        config.stages.text.steps *= 4
    else:
        config.tokenizer = config.pretrained = "openai-community/gpt2"
    return config
