"""The name table of a decoder language model: Hugging Face's names of its tensors, from what its blocks have."""

from collections.abc import Mapping

from motiongpt3_jax.models import DecoderConfig
from motiongpt3_jax.tensors.name_table import Entries, Entry, NameTable, at_layer

TABLE = "model.embed_tokens.weight"
"""Vectors of ids."""

HEAD = "lm_head.weight"
"""Rows that logits are products with."""

NORMS: Mapping[bool, Mapping[str, str]] = {
    False: {"attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"},
    True: {
        "attention_norm": "input_layernorm",
        "post_attention_norm": "post_attention_layernorm",
        "mlp_norm": "pre_feedforward_layernorm",
        "post_mlp_norm": "post_feedforward_layernorm",
    },
}
"""Our names of a layer's norms and theirs, by whether there are norms behind attention and MLP too."""


def language_model_table(
    decoder: DecoderConfig, ids: int, rows: int, tied: bool, vocabulary: str = "vocabulary"
) -> NameTable:
    """The name table of a decoder's first stream and of its vocabulary.

    Args:
      decoder: sizes and flavour.
      ids: of the tokenizer.
      rows: of the checkpoint's tables; those behind the ids are left out.
      tied: whether one table reads and writes ids.
      vocabulary: path of its parameters.
    """
    stream, part = decoder.streams[0], slice(0, ids)
    entries = [
        Entry(TABLE, f"{vocabulary}/table", (rows, stream.width), part=part),
        Entry("model.norm.weight", f"decoder/final_norm/{stream.name}/scale", (stream.width,)),
    ]
    if not tied:
        entries.append(Entry(HEAD, f"{vocabulary}/head", (rows, stream.width), part=part))
    for layer in range(decoder.layers):
        entries += at_layer(layer, _block(f"model.layers.{layer}", f"decoder/layers/{stream.name}", decoder))
    return NameTable(tuple(entries), {HEAD: TABLE} if tied else {})


def _block(key: str, path: str, decoder: DecoderConfig) -> Entries:
    stream, head, flavour = decoder.streams[0], decoder.head_width, decoder.flavour
    width, hidden, inner = stream.width, stream.mlp_width, decoder.heads * decoder.head_width
    for ours, theirs in NORMS[flavour.post_norms].items():
        yield Entry(f"{key}.{theirs}.weight", f"{path}/{ours}/scale", (width,))
    for name, heads in (("q", decoder.heads), ("k", decoder.kv_heads), ("v", decoder.kv_heads)):
        theirs, shape = f"{key}.self_attn.{name}_proj", (heads * head, width)
        yield Entry(f"{theirs}.weight", f"{path}/{name}/kernel", shape, "transposed", split=(width, heads, head))
        if flavour.qkv_biases:
            yield Entry(f"{theirs}.bias", f"{path}/{name}/bias", (heads * head,), split=(heads, head))
        if flavour.qk_norms and name != "v":
            yield Entry(f"{key}.self_attn.{name}_norm.weight", f"{path}/{name}_norm/scale", (head,))
    split = (decoder.heads, head, width)
    yield Entry(f"{key}.self_attn.o_proj.weight", f"{path}/o/kernel", (width, inner), "transposed", split=split)
    for name in ("gate", "up"):
        yield Entry(f"{key}.mlp.{name}_proj.weight", f"{path}/{name}/kernel", (hidden, width), "transposed")
    yield Entry(f"{key}.mlp.down_proj.weight", f"{path}/down/kernel", (width, hidden), "transposed")
