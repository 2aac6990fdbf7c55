"""Flax modules: arrays in, arrays out."""

from motiongpt3_jax.models.decoder import Decoder, DecoderConfig, StreamConfig
from motiongpt3_jax.models.further import by_layer, further, read
from motiongpt3_jax.models.head import DiffusionHead, HeadConfig
from motiongpt3_jax.models.streams import Memory, Stream, reserve, visible
from motiongpt3_jax.models.vae import MotionVae, VaeConfig
from motiongpt3_jax.models.vae_loss import vae_loss
from motiongpt3_jax.models.vocabulary import Vocabulary

__all__ = [
    "Decoder",
    "DecoderConfig",
    "DiffusionHead",
    "HeadConfig",
    "Memory",
    "MotionVae",
    "Stream",
    "StreamConfig",
    "VaeConfig",
    "Vocabulary",
    "by_layer",
    "further",
    "read",
    "reserve",
    "vae_loss",
    "visible",
]
