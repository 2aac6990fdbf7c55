"""From a config's section `model.vqvae` to the sizes of the motion tokenizer."""

from motiongpt3_jax.models import VqVaeConfig
from motiongpt3_jax.systems.motion_codes.sections import VqVaeSection

DOWNSAMPLES = 2
"""How often the motion tokenizer halves the frames: a code stands for four of them."""


def vqvae_config(section: VqVaeSection, features: int, dtype: str) -> VqVaeConfig:
    """Sizes of the motion tokenizer."""
    return VqVaeConfig(
        features=features,
        width=section.width,
        code_width=section.code_width,
        codes=section.codes,
        downsamples=DOWNSAMPLES,
        depth=section.depth,
        dilation_growth=section.dilation_growth,
        dtype=dtype,
    )
