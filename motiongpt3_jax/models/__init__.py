"""Flax modules: arrays in, arrays out."""

from motiongpt3_jax.models.codebook import (
    Codebook,
    CodebookSums,
    Quantised,
    ReseedSlots,
    advance_codebook,
    effective_rank,
    empty_codebook,
    nearest_codes,
    perplexity,
    quantise,
    reseed_slots,
    straight_through,
)
from motiongpt3_jax.models.cross_entropy import cross_entropy
from motiongpt3_jax.models.decoder import Decoder
from motiongpt3_jax.models.decoder_config import DecoderConfig, StreamConfig
from motiongpt3_jax.models.decoding import cross_cache, decode_step, prefill, unstack_layers
from motiongpt3_jax.models.denoising import denoise_step, modulate_steps, unstack_blocks
from motiongpt3_jax.models.flavour import BlockFlavour
from motiongpt3_jax.models.head import DiffusionHead, HeadConfig
from motiongpt3_jax.models.lora import Adapter, Adapters, merge_adapter, unmerge_adapter
from motiongpt3_jax.models.sharding_rules import DECODER_RULES
from motiongpt3_jax.models.streams import KVCache, Stream, grow, unpack_cache, unpack_slots, visible
from motiongpt3_jax.models.t5 import FLAN_T5, T5, T5Config, decode_step_t5, prefill_t5, unstack_t5
from motiongpt3_jax.models.token_sampling import TextOptions
from motiongpt3_jax.models.vae import MotionVae, VaeConfig
from motiongpt3_jax.models.vae_loss import HUMANML3D_COLUMNS, JointColumns, vae_loss
from motiongpt3_jax.models.vocabulary import Tables, Vocabulary
from motiongpt3_jax.models.vqvae import VqVae, VqVaeConfig, repeat_last_frame
from motiongpt3_jax.models.vqvae_loss import vqvae_loss

__all__ = [
    "DECODER_RULES",
    "FLAN_T5",
    "HUMANML3D_COLUMNS",
    "T5",
    "Adapter",
    "Adapters",
    "BlockFlavour",
    "Codebook",
    "CodebookSums",
    "Decoder",
    "DecoderConfig",
    "DiffusionHead",
    "HeadConfig",
    "JointColumns",
    "KVCache",
    "MotionVae",
    "Quantised",
    "ReseedSlots",
    "Stream",
    "StreamConfig",
    "T5Config",
    "Tables",
    "TextOptions",
    "VaeConfig",
    "Vocabulary",
    "VqVae",
    "VqVaeConfig",
    "advance_codebook",
    "cross_cache",
    "cross_entropy",
    "decode_step",
    "decode_step_t5",
    "denoise_step",
    "effective_rank",
    "empty_codebook",
    "grow",
    "merge_adapter",
    "modulate_steps",
    "nearest_codes",
    "perplexity",
    "prefill",
    "prefill_t5",
    "quantise",
    "repeat_last_frame",
    "reseed_slots",
    "straight_through",
    "unmerge_adapter",
    "unpack_cache",
    "unpack_slots",
    "unstack_blocks",
    "unstack_layers",
    "unstack_t5",
    "vae_loss",
    "visible",
    "vqvae_loss",
]
