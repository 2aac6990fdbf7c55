"""A pretrained Llama as the text branch: its `config.json`, and its tensors by the names of Hugging Face's checkpoints.

Mistral's models are the same but for values, where they attend to all that came before.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.tensors.name_table import Entries, Entry, NameTable, at_layer

if TYPE_CHECKING:
    from motiongpt3_jax.systems.motiongpt3 import MotionGPT3Config

MODELS = ("llama", "mistral")
"""Models whose blocks are known, as their `config.json` calls them."""

USUAL: Mapping[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "sliding_window": (None,),
}
"""Values of a `config.json` without which the blocks are others; what it does not say is the first."""


def llama_sizes(values: Mapping[str, Any], name: str = "config.json") -> dict[str, Any]:
    """The values of the config's section `model.decoder` that a Llama's `config.json` says.

    Args:
      values: its content.
      name: of the file, as errors say it.

    Raises:
      UserError: it is another model's, or of blocks that are not known; says which are.
    """
    kind = values.get("model_type")
    if kind not in MODELS:
        raise UserError(f"{name} describes a {kind!r}; of the family llama {' and '.join(MODELS)} are read")
    for key, usual in USUAL.items():
        if values.get(key, usual[0]) not in usual:
            raise UserError(f"{name} has {key} {values[key]!r}, which is not read; models with {usual[0]!r} are")
    try:
        width, heads = values["hidden_size"], values["num_attention_heads"]
        if (values.get("head_dim") or width // heads) * heads != width:
            raise UserError(
                f"{name} has {heads} heads of width {values['head_dim']}, which is not read; models whose heads are as "
                f"wide as their {width} together are"
            )
        theta, scaling = _rotary(values, name)
        return {
            "family": "llama",
            "width": width,
            "layers": values["num_hidden_layers"],
            "heads": heads,
            "kv_heads": values.get("num_key_value_heads") or heads,
            "mlp_width": values["intermediate_size"],
            "norm_eps": values.get("rms_norm_eps", 1e-6),
            "rope_theta": theta,
            "rope_scaling": scaling,
            "tied": bool(values.get("tie_word_embeddings", False)),
        }
    except KeyError as error:
        raise UserError(f"{name} has no {error}, a size of a Llama; give the folder of a whole checkpoint") from None


def _rotary(values: Mapping[str, Any], name: str) -> tuple[float, tuple[float, float, float, int] | None]:
    """(theta, scaling) of rotary positions, which newer files keep in one section."""
    rotary = values.get("rope_parameters") or values.get("rope_scaling") or {}
    theta = float(rotary.get("rope_theta") or values.get("rope_theta") or 10_000.0)
    kind = rotary.get("rope_type") or rotary.get("type") or "default"
    if kind == "default":
        return theta, None
    if kind != "llama3":
        raise UserError(f"{name} scales rotary positions by {kind!r}, which is not read; 'default' and 'llama3' are")
    numbers = [float(rotary[key]) for key in ("factor", "low_freq_factor", "high_freq_factor")]
    return theta, (*numbers, int(rotary["original_max_position_embeddings"]))


def llama_table(config: "MotionGPT3Config", rows: int) -> NameTable:
    """The name table of a text branch of Llama's family, by the names of Hugging Face's checkpoints.

    Args:
      config: the model's sizes.
      rows: of the checkpoint's tables; those behind the tokenizer's ids are left out.
    """
    width, ids = config.decoder.streams[0].width, slice(0, config.vocabulary)
    entries = [
        Entry("model.embed_tokens.weight", "vocabulary/text/table", (rows, width), part=ids),
        Entry("model.norm.weight", "decoder/final_norm/text/scale", (width,)),
    ]
    if not config.tied:
        entries.append(Entry("lm_head.weight", "vocabulary/text/head", (rows, width), part=ids))
    for layer in range(config.decoder.layers):
        entries += at_layer(layer, _block(f"model.layers.{layer}", "decoder/layers/text", config))
    return NameTable(tuple(entries), {"lm_head.weight": "model.embed_tokens.weight"} if config.tied else {})


def _block(key: str, path: str, config: "MotionGPT3Config") -> Entries:
    decoder = config.decoder
    width, hidden, head = decoder.streams[0].width, decoder.streams[0].mlp_width, decoder.head_width
    yield Entry(f"{key}.input_layernorm.weight", f"{path}/attention_norm/scale", (width,))
    for name, heads in (("q", decoder.heads), ("k", decoder.kv_heads), ("v", decoder.kv_heads)):
        theirs, shape = f"{key}.self_attn.{name}_proj.weight", (heads * head, width)
        yield Entry(theirs, f"{path}/{name}/kernel", shape, "transposed", split=(width, heads, head))
    inner = decoder.heads * head
    split = (decoder.heads, head, width)
    yield Entry(f"{key}.self_attn.o_proj.weight", f"{path}/o/kernel", (width, inner), "transposed", split=split)
    yield Entry(f"{key}.post_attention_layernorm.weight", f"{path}/mlp_norm/scale", (width,))
    for name in ("gate", "up"):
        yield Entry(f"{key}.mlp.{name}_proj.weight", f"{path}/{name}/kernel", (hidden, width), "transposed")
    yield Entry(f"{key}.mlp.down_proj.weight", f"{path}/down/kernel", (width, hidden), "transposed")
