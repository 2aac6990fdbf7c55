"""Sizes of MotionGPT3: what each of them changes of `motiongpt3:base`.

Larger ones take batches of more rows for fewer updates, so that each sees as many samples as `base`. All but `small`
start from a pretrained text branch: set `--config.tokenizer` and `--config.pretrained` to a folder where the hub is not
at hand.
"""

import math

from ml_collections import ConfigDict

VAE_TIMES = 16
"""The most by which the VAE's batches grow: it is the same in all sizes, and needs its updates."""


def small(config: ConfigDict) -> ConfigDict:
    """A sixth of `base`, both branches trained from the start."""
    config.model.decoder.update({"width": 384, "layers": 6, "heads": 6})
    config.model.vae.layers = 5
    config.model.head.width = 512
    return scale_batches(config, times=1, rate=2.0)


def medium(config: ConfigDict) -> ConfigDict:
    """GPT-2 medium on the text branch, and a motion branch as wide."""
    config.model.decoder.update({"width": 1024, "layers": 24, "heads": 16})
    config.tokenizer = config.pretrained = "openai-community/gpt2-medium"
    return scale_batches(config, times=4)


def large(config: ConfigDict) -> ConfigDict:
    """GPT-2 large on the text branch, and a motion branch as wide; computed in bfloat16."""
    config.model.decoder.update({"width": 1280, "layers": 36, "heads": 20, "remat": "full"})
    config.model.dtype = "bfloat16"
    config.tokenizer = config.pretrained = "openai-community/gpt2-large"
    return scale_batches(config, times=8)


def xl(config: ConfigDict) -> ConfigDict:
    """GPT-2 XL on the text branch, and a motion branch as wide; computed, and moments kept, in bfloat16."""
    config.model.decoder.update({"width": 1600, "layers": 48, "heads": 25, "remat": "full"})
    config.model.dtype = "bfloat16"
    config.tokenizer = config.pretrained = "openai-community/gpt2-xl"
    return halve_moments(scale_batches(config, times=16))


def llama_8b(config: ConfigDict) -> ConfigDict:
    """Llama 3.1 8B on the text branch, and a motion branch of a quarter of its width; for 256 chips, as v5e:16x16."""
    config.model.decoder.update({"width": 4096, "layers": 32, "heads": 32, "motion_factor": 0.25, "remat": "full"})
    config.model.decoder.update({"family": "llama", "tied": False, "rope_theta": 500_000.0, "max_positions": 8192})
    with config.ignore_type():
        config.model.decoder.update({"kv_heads": 8, "mlp_width": 14_336, "rope_scaling": (8.0, 1.0, 4.0, 8192)})
    config.model.update({"dtype": "bfloat16", "dropout": 0.0})
    config.tokenizer = config.pretrained = "meta-llama/Llama-3.1-8B"
    # A gather of weights over 64 chips is hidden behind the products of eight rows; over 256 chips, of two, it is not.
    config.mesh.fsdp = 64
    return halve_moments(scale_batches(config, times=256, rate=2.0))


SIZES = {"small": small, "medium": medium, "large": large, "xl": xl, "8b": llama_8b}
"""What makes each size of `base`."""


def scale_batches(config: ConfigDict, times: int, rate: float = 1.0) -> ConfigDict:
    """Batches of so many times the rows, and as many times fewer updates; learning rates times `rate`.

    The VAE's rate grows with the root of its batches.
    """
    for stage in config.stages.values():
        of_vae = stage.loss == "vae"
        more = min(times, VAE_TIMES) if of_vae else times
        stage.batch.rows *= more
        for name in ("steps", "evaluate_every", "checkpoint_every", "sample_every"):
            stage[name] = max(stage[name] // more, 1)
        for name in ("learning_rate", "final_learning_rate"):
            stage.optimizer[name] *= math.sqrt(more) if of_vae else rate
    return config


def halve_moments(config: ConfigDict) -> ConfigDict:
    """The optimizer's moments in bfloat16, which halves their memory."""
    for stage in config.stages.values():
        stage.optimizer.moments = ((".*", "bfloat16"),)
    return config
