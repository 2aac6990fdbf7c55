"""MotionGPT3: motion as a second modality of a two-stream Transformer (arXiv 2506.24086)."""

from motiongpt3_jax.models import TextOptions
from motiongpt3_jax.systems.motiongpt3.config import LanguageObjective, MotionGPT3Config, VaeObjective
from motiongpt3_jax.systems.motiongpt3.generate_motion import MotionOptions
from motiongpt3_jax.systems.motiongpt3.layout import ClipLayout, LayoutOptions, SequenceLayout
from motiongpt3_jax.systems.motiongpt3.sequences import sequence_example
from motiongpt3_jax.systems.motiongpt3.system import MotionGPT3

__all__ = [
    "ClipLayout",
    "LanguageObjective",
    "LayoutOptions",
    "MotionGPT3",
    "MotionGPT3Config",
    "MotionOptions",
    "SequenceLayout",
    "TextOptions",
    "VaeObjective",
    "sequence_example",
]
