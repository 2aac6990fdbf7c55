"""MotionGPT's name table: where each tensor of an official checkpoint lies in our parameters and our state.

Everything follows from a config's sizes. Of the state, whose paths begin with `state/`, the official code saves the
codes' vectors alone. Ids of words are the first rows of the official tables, those of motions the rest: codes 0 to 27
stand in rows that a published T5 has to spare.
"""

from typing import TYPE_CHECKING

from motiongpt3_jax.models import DecoderConfig, T5Config
from motiongpt3_jax.models.t5 import SOURCE, TARGET
from motiongpt3_jax.systems.motion_codes.vqvae_names import vqvae_entries
from motiongpt3_jax.tensors.layer_entries import gpt2_block, layer_norm
from motiongpt3_jax.tensors.name_table import Entries, Entry, NameTable, at_layer

if TYPE_CHECKING:
    from motiongpt3_jax.systems.motion_codes.config import CodeModelConfig

LANGUAGE = "lm.language_model."
"""What the official names of the language model begin with; behind it they are those of Hugging Face's."""

VQVAE = "vae."
"""What the official names of the motion tokenizer begin with."""

T5_TIED = {f"{half}.embed_tokens.weight": "shared.weight" for half in ("encoder", "decoder")}
GPT2_TIED = {"lm_head.weight": "transformer.wte.weight"}


def name_table(config: "CodeModelConfig") -> NameTable:
    """The name table of a model of these sizes."""
    language = language_table(config.language, config.words, config.new_ids).with_prefix(LANGUAGE)
    return NameTable((*vqvae_entries(config.vqvae, VQVAE), *language.entries), language.tied)


def language_table(config: T5Config | DecoderConfig, words: int, new: int) -> NameTable:
    """The name table of a language model alone, by the names of Hugging Face's checkpoints.

    Args:
      config: sizes of a T5, or of a decoder with GPT-2's blocks.
      words: ids of the tokenizer.
      new: rows that follow them; may be 0.
    """
    t5 = isinstance(config, T5Config)
    entries = t5_entries(config, words, new) if t5 else gpt2_entries(config, words, new)
    return NameTable(tuple(entries), T5_TIED if t5 else GPT2_TIED)


def t5_entries(config: T5Config, words: int, new: int) -> Entries:
    """A T5 v1.1 and its vocabulary, whose logits have rows of their own."""
    yield from _rows("shared.weight", ("table", "new"), words, new, config.width)
    yield from _rows("lm_head.weight", ("head", "new_head"), words, new, config.width)
    for half, stream, layers, cross in (
        ("encoder", SOURCE, config.layers, False),
        ("decoder", TARGET, config.decoder_layers, True),
    ):
        relative = f"{half}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        yield Entry(relative, f"t5/{half}/relative/table", (config.buckets, config.heads))
        yield Entry(f"{half}.final_layer_norm.weight", f"t5/{half}/final_norm/{stream}/scale", (config.width,))
        for layer in range(layers):
            block = _t5_block(f"{half}.block.{layer}.layer", f"t5/{half}/layers/{stream}", config, cross)
            yield from at_layer(layer, block)


def _t5_block(key: str, path: str, config: T5Config, cross: bool) -> Entries:
    width, hidden = config.width, config.mlp_width
    yield Entry(f"{key}.0.layer_norm.weight", f"{path}/attention_norm/scale", (width,))
    yield from _t5_attention(f"{key}.0.SelfAttention", path, config)
    if cross:
        yield Entry(f"{key}.1.layer_norm.weight", f"{path}/cross_norm/scale", (width,))
        yield from _t5_attention(f"{key}.1.EncDecAttention", f"{path}/cross", config)
    mlp = f"{key}.{2 if cross else 1}"
    yield Entry(f"{mlp}.layer_norm.weight", f"{path}/mlp_norm/scale", (width,))
    yield Entry(f"{mlp}.DenseReluDense.wi_0.weight", f"{path}/gate/kernel", (hidden, width), "transposed")
    yield Entry(f"{mlp}.DenseReluDense.wi_1.weight", f"{path}/up/kernel", (hidden, width), "transposed")
    yield Entry(f"{mlp}.DenseReluDense.wo.weight", f"{path}/down/kernel", (width, hidden), "transposed")


def _t5_attention(key: str, path: str, config: T5Config) -> Entries:
    width, heads = config.width, (config.heads, config.head_width)
    inner = config.heads * config.head_width
    for q in "qkv":
        yield Entry(f"{key}.{q}.weight", f"{path}/{q}/kernel", (inner, width), "transposed", split=(width, *heads))
    yield Entry(f"{key}.o.weight", f"{path}/o/kernel", (width, inner), "transposed", split=(*heads, width))


def gpt2_entries(config: DecoderConfig, words: int, new: int) -> Entries:
    """A GPT-2 and its vocabulary, of which the logits are products."""
    (stream,) = config.streams
    model, width = "transformer", stream.width
    yield from _rows(f"{model}.wte.weight", ("table", "new"), words, new, width)
    yield Entry(f"{model}.wpe.weight", f"decoder/positions/{stream.name}", (config.max_positions, width))
    yield from layer_norm(f"{model}.ln_f", f"decoder/final_norm/{stream.name}", width)
    for layer in range(config.layers):
        block = f"{model}.h.{layer}"
        entries = gpt2_block(
            norms=(f"{block}.ln_1", f"{block}.ln_2"),
            attention=(f"{block}.attn.c_attn", f"{block}.attn.c_proj"),
            mlp=f"{block}.mlp",
            path=f"decoder/layers/{stream.name}",
            heads=(config.heads, config.head_width),
            widths=(width, stream.mlp_width),
        )
        yield from at_layer(layer, entries)


def _rows(key: str, names: tuple[str, str], words: int, new: int, width: int) -> Entries:
    """A table whose first rows are those of words."""
    yield Entry(key, f"vocabulary/{names[0]}", (words + new, width), part=slice(0, words))
    if new:
        yield Entry(key, f"vocabulary/{names[1]}", (words + new, width), part=slice(words, None))
