"""Flax modules: arrays in, arrays out."""

from motiongpt3_jax.models.decoder import Decoder, DecoderConfig, StreamConfig
from motiongpt3_jax.models.decoding import cross_cache, decode_step, prefill, unstack_layers
from motiongpt3_jax.models.flavour import BlockFlavour
from motiongpt3_jax.models.head import DiffusionHead, HeadConfig
from motiongpt3_jax.models.sharding_rules import DECODER_RULES, T5_RULES
from motiongpt3_jax.models.streams import KVCache, Stream, grow, visible
from motiongpt3_jax.models.t5 import FLAN_T5, T5, T5Config, decode_step_t5, prefill_t5, unstack_t5
from motiongpt3_jax.models.token_sampling import TextOptions
from motiongpt3_jax.models.vae import MotionVae, VaeConfig
from motiongpt3_jax.models.vae_loss import vae_loss
from motiongpt3_jax.models.vocabulary import Vocabulary

__all__ = [
    "DECODER_RULES",
    "FLAN_T5",
    "T5",
    "T5_RULES",
    "BlockFlavour",
    "Decoder",
    "DecoderConfig",
    "DiffusionHead",
    "HeadConfig",
    "KVCache",
    "MotionVae",
    "Stream",
    "StreamConfig",
    "T5Config",
    "TextOptions",
    "VaeConfig",
    "Vocabulary",
    "cross_cache",
    "decode_step",
    "decode_step_t5",
    "grow",
    "prefill",
    "prefill_t5",
    "unstack_layers",
    "unstack_t5",
    "vae_loss",
    "visible",
]
