"""Flax modules: arrays in, arrays out."""

from motiongpt3_jax.models.decoder import Decoder, DecoderConfig, StreamConfig
from motiongpt3_jax.models.decoding import decode_step, prefill, unstack_layers
from motiongpt3_jax.models.flavour import BlockFlavour
from motiongpt3_jax.models.head import DiffusionHead, HeadConfig
from motiongpt3_jax.models.sharding_rules import DECODER_RULES
from motiongpt3_jax.models.streams import KVCache, Stream, grow, visible
from motiongpt3_jax.models.token_sampling import TextOptions
from motiongpt3_jax.models.vae import MotionVae, VaeConfig
from motiongpt3_jax.models.vae_loss import HUMANML3D_COLUMNS, JointColumns, vae_loss
from motiongpt3_jax.models.vocabulary import Vocabulary

__all__ = [
    "DECODER_RULES",
    "HUMANML3D_COLUMNS",
    "BlockFlavour",
    "Decoder",
    "DecoderConfig",
    "DiffusionHead",
    "HeadConfig",
    "JointColumns",
    "KVCache",
    "MotionVae",
    "Stream",
    "StreamConfig",
    "TextOptions",
    "VaeConfig",
    "Vocabulary",
    "decode_step",
    "grow",
    "prefill",
    "unstack_layers",
    "vae_loss",
    "visible",
]
