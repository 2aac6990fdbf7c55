"""The name table: where each tensor of an official checkpoint lies in our parameters.

Everything follows from a config's sizes. The official code keeps blocks apart (`...h.3.ln_1...`) where ours stacks
them along a first axis, and stores linear layers as PyTorch does, (outputs, inputs); GPT-2's `Conv1D` layers are the
exception, already (inputs, outputs).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.motiongpt3.prompts import HOLDERS

if TYPE_CHECKING:
    from motiongpt3_jax.models import DecoderConfig, HeadConfig, VaeConfig
    from motiongpt3_jax.systems.motiongpt3 import MotionGPT3Config

Table = Iterator["Entry"]

LAYOUTS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "same": (lambda x: x, lambda x: x),
    "transposed": (lambda x: x.T, lambda x: x.T),
    "without middle axis": (lambda x: x[:, 0], lambda x: x[:, None]),
}
"""How a tensor comes in and goes out."""

TIED = {
    f"lm.language_model.{copy}.weight": "lm.language_model.transformer.wte.weight"
    for copy in ("lm_head", "pre_processors.0", "post_processors.0")
}
"""Official names that repeat another tensor, and that tensor's name."""


@dataclass(frozen=True)
class Entry:
    """One tensor, or a part of it.

    Attributes:
      key: name in the official state dict.
      path: name of our parameter, parts joined by "/".
      shape: of the official tensor.
      layout: how the two differ, one of `LAYOUTS`.
      index: place along the stacked parameter's first axis; None where nothing is stacked.
      part: what this parameter holds of the official tensor; None for all of it.
      axis: of the official tensor that `part` counts along.
      split: shape of our parameter (of our slice of the stack) where heads are axes of their own; None where not.
      optional: a state dict may lack it, which means zeros.
    """

    key: str
    path: str
    shape: tuple[int, ...]
    layout: str = "same"
    index: int | None = None
    part: slice | None = None
    axis: int = 0
    split: tuple[int, ...] | None = None
    optional: bool = False

    def ours(self, tensor: np.ndarray) -> np.ndarray:
        """Our parameter (or our slice of the stack) from the official tensor."""
        if self.part is not None:
            tensor = tensor[(slice(None),) * self.axis + (self.part,)]
        tensor = LAYOUTS[self.layout][0](tensor)
        return tensor if self.split is None else tensor.reshape(self.split)

    def theirs(self, parameter: np.ndarray) -> np.ndarray:
        """The official tensor (or our part of it) from our parameter."""
        parameter = parameter if self.index is None else parameter[self.index]
        if self.split is not None:
            if parameter.shape != self.split:
                raise UserError(f"{self.path} has shape {parameter.shape}; the config's sizes say {self.split}")
            count = len(range(*self.part.indices(self.shape[self.axis]))) if self.part else self.shape[self.axis]
            parameter = parameter.reshape(*self.shape[: self.axis], count, *self.shape[self.axis + 1 :])
        return LAYOUTS[self.layout][1](parameter)


def entries(config: "MotionGPT3Config") -> tuple[Entry, ...]:
    """Every tensor of a model of these sizes, each of our parameters exactly once."""
    text, motion = config.decoder.streams
    clip = config.vae.latents * config.vae.width
    language = "lm.language_model"
    rows, motion_rows = (config.vocabulary + config.new_ids, text.width), (config.motion_ids, motion.width)
    table = [
        *_vae(config.vae),
        Entry("lm.fake_latent", "null_condition", (HOLDERS, motion.width), optional=True),
        Entry(f"{language}.transformer.wte.weight", "vocabulary/text/table", rows, part=slice(0, config.vocabulary)),
        Entry(f"{language}.transformer.wte.weight", "vocabulary/text/new", rows, part=slice(config.vocabulary, None)),
        Entry(f"{language}.pre_processors.1.weight", "vocabulary/motion/table", motion_rows),
        Entry(
            f"{language}.post_processors.1.weight",
            "motion_head/kernel",
            (config.motion_ids, motion.width),
            "transposed",
        ),
        *_decoder(config.decoder),
        *_linear("lm.motion_und_head.layers", "understand", clip, HOLDERS * motion.width),
        *_head(config.head),
    ]
    return tuple(entry for entry in table if config.new_ids or entry.path != "vocabulary/text/new")


def _vae(config: "VaeConfig") -> Table:
    width, half = config.width, (config.layers - 1) // 2
    positions = (config.max_frames, 1, width)
    yield Entry("vae.global_motion_token", "vae/latent_tokens", (2 * config.latents, width))
    yield Entry("vae.query_pos_encoder.pe", "vae/encoder_positions", positions, "without middle axis")
    yield Entry("vae.query_pos_decoder.pe", "vae/decoder_positions", positions, "without middle axis")
    yield from _linear("vae.skel_embedding", "vae/embed", config.features, width)
    yield from _linear("vae.final_layer", "vae/final", width, config.features)
    for side in ("encoder", "decoder"):
        theirs, ours, cross = f"vae.{side}", f"vae/{side}", side == "decoder"
        sizes = (width, config.mlp_width, cross)
        yield from _post_norm(f"{theirs}.middle_block", f"{ours}/middle", *sizes)
        yield from _norm(f"{theirs}.norm", f"{ours}/norm", width)
        for block in range(half):
            yield from _at(block, _post_norm(f"{theirs}.input_blocks.{block}", f"{ours}/inputs/block", *sizes))
            yield from _at(block, _post_norm(f"{theirs}.output_blocks.{block}", f"{ours}/outputs/block", *sizes))
            yield from _at(block, _linear(f"{theirs}.linear_blocks.{block}", f"{ours}/outputs/join", 2 * width, width))


def _decoder(config: "DecoderConfig") -> Table:
    heads = (config.heads, config.head_width)
    model = "lm.language_model.transformer"
    first = config.streams[0]
    for stream, name in zip(config.streams, ("wpe", "wpe_mot")):
        if stream is first or stream.width != first.width:
            yield Entry(
                f"{model}.{name}.weight", f"decoder/positions/{stream.name}", (config.max_positions, stream.width)
            )
    for number, stream in enumerate(config.streams):
        width, mlp, ours = stream.width, stream.mlp_width, f"decoder/layers/{stream.name}"
        yield from _norm(f"{model}.ln_f.fn.{number}", f"decoder/final_norm/{stream.name}", width)
        for layer in range(config.layers):
            theirs = f"{model}.h.{layer}"
            yield from _at(layer, _norm(f"{theirs}.ln_1.fn.{number}", f"{ours}/attention_norm", width))
            yield from _at(layer, _to_heads(f"{theirs}.c_attn.fn.{number}", ours, width, heads))
            yield from _at(layer, _from_heads(f"{theirs}.c_proj.fn.{number}", f"{ours}/o", heads, width))
            yield from _at(layer, _norm(f"{theirs}.ln_2.fn.{number}", f"{ours}/mlp_norm", width))
            yield from _at(layer, _conv1d(f"{theirs}.mlp.fn.{number}.c_fc", f"{ours}/up", width, mlp))
            yield from _at(layer, _conv1d(f"{theirs}.mlp.fn.{number}.c_proj", f"{ours}/down", mlp, width))


def _head(config: "HeadConfig") -> Table:
    net, width, condition = "lm.diffloss.net", config.width, config.condition
    yield from _linear(f"{net}.time_embed.mlp.0", "head/time_in", config.time, width)
    yield from _linear(f"{net}.time_embed.mlp.2", "head/time_out", width, width)
    yield from _linear(f"{net}.input_proj", "head/input", config.latent, width)
    yield Entry(f"{net}.cond_embed.hidden_embedding", "head/pooling/token", (1, condition))
    positions = (config.max_positions, 1, condition)
    yield Entry(f"{net}.cond_embed.hid_pos.pe", "head/pooling/positions", positions, "without middle axis")
    yield from _post_norm(
        f"{net}.cond_embed.hid_encoder_layer", "head/pooling/layer", condition, config.pool_mlp, False
    )
    yield from _linear(f"{net}.cond_embed.cond_proj", "head/pooling/project", condition, width)
    for block in range(config.depth):
        theirs = f"{net}.res_blocks.{block}"
        yield from _at(block, _norm(f"{theirs}.in_ln", "head/blocks/norm", width))
        yield from _at(block, _linear(f"{theirs}.mlp.0", "head/blocks/mlp_in", width, width))
        yield from _at(block, _linear(f"{theirs}.mlp.2", "head/blocks/mlp_out", width, width))
        yield from _at(block, _linear(f"{theirs}.adaLN_modulation.1", "head/blocks/modulation", width, 3 * width))
    yield from _linear(f"{net}.final_layer.adaLN_modulation.1", "head/final_modulation", width, 2 * width)
    yield from _linear(f"{net}.final_layer.linear", "head/final", width, config.latent)


def _post_norm(key: str, path: str, width: int, mlp: int, cross: bool) -> Table:
    """A PyTorch Transformer layer; `cross` adds the attention to a memory, and its norm in the second place."""
    yield from _attention(f"{key}.self_attn", f"{path}/self_attention", width)
    if cross:
        yield from _attention(f"{key}.multihead_attn", f"{path}/cross_attention", width)
    yield from _linear(f"{key}.linear1", f"{path}/mlp_in", width, mlp)
    yield from _linear(f"{key}.linear2", f"{path}/mlp_out", mlp, width)
    names = ("self_norm", "cross_norm", "mlp_norm") if cross else ("self_norm", "mlp_norm")
    for number, name in enumerate(names, start=1):
        yield from _norm(f"{key}.norm{number}", f"{path}/{name}", width)


def _attention(key: str, path: str, width: int) -> Table:
    yield Entry(f"{key}.in_proj_weight", f"{path}/in_kernel", (3 * width, width), "transposed")
    yield Entry(f"{key}.in_proj_bias", f"{path}/in_bias", (3 * width,))
    yield from _linear(f"{key}.out_proj", f"{path}/out", width, width)


def _linear(key: str, path: str, inputs: int, outputs: int) -> Table:
    yield Entry(f"{key}.weight", f"{path}/kernel", (outputs, inputs), "transposed")
    yield Entry(f"{key}.bias", f"{path}/bias", (outputs,))


def _conv1d(key: str, path: str, inputs: int, outputs: int) -> Table:
    yield Entry(f"{key}.weight", f"{path}/kernel", (inputs, outputs))
    yield Entry(f"{key}.bias", f"{path}/bias", (outputs,))


def _to_heads(key: str, path: str, width: int, heads: tuple[int, int]) -> Table:
    """GPT-2's packed projection: columns of the queries, of the keys, of the values, each head by head."""
    inner = heads[0] * heads[1]
    for number, name in enumerate("qkv"):
        part = slice(number * inner, (number + 1) * inner)
        weight = Entry(f"{key}.weight", f"{path}/{name}/kernel", (width, 3 * inner), axis=1)
        yield replace(weight, part=part, split=(width, *heads))
        yield Entry(f"{key}.bias", f"{path}/{name}/bias", (3 * inner,), part=part, split=heads)


def _from_heads(key: str, path: str, heads: tuple[int, int], width: int) -> Table:
    """GPT-2's output projection, its rows head by head."""
    yield Entry(f"{key}.weight", f"{path}/kernel", (heads[0] * heads[1], width), split=(*heads, width))
    yield Entry(f"{key}.bias", f"{path}/bias", (width,))


def _norm(key: str, path: str, width: int) -> Table:
    yield Entry(f"{key}.weight", f"{path}/scale", (width,))
    yield Entry(f"{key}.bias", f"{path}/bias", (width,))


def _at(index: int, table: Iterable[Entry]) -> Table:
    """The same entries at a place of a stack."""
    return (replace(entry, index=index) for entry in table)


def parameter_shapes(config: "MotionGPT3Config") -> dict[str, tuple[int, ...]]:
    """Paths and shapes of all of our parameters, in the order of the table; no array is made."""
    found: dict[str, tuple[int, ...]] = {}
    stacked: dict[str, int] = {}
    for entry in entries(config):
        # Strides of zero: a tensor of any size that takes no memory.
        found[entry.path] = entry.ours(np.broadcast_to(np.float32(0), entry.shape)).shape
        if entry.index is not None:
            stacked[entry.path] = stacked.get(entry.path, 0) + 1
    return {path: (stacked[path], *shape) if path in stacked else shape for path, shape in found.items()}
