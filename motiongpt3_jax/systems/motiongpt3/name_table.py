"""MotionGPT3's name table: where each tensor of an official checkpoint lies in our parameters.

Everything follows from a config's sizes.
"""

from typing import TYPE_CHECKING

from motiongpt3_jax.tensors.layer_entries import gpt2_block, layer_norm, linear
from motiongpt3_jax.tensors.name_table import Entries, Entry, NameTable, at_layer

if TYPE_CHECKING:
    from motiongpt3_jax.models import DecoderConfig, HeadConfig, VaeConfig
    from motiongpt3_jax.systems.motiongpt3 import MotionGPT3Config

TIED = {
    f"lm.language_model.{copy}.weight": "lm.language_model.transformer.wte.weight"
    for copy in ("lm_head", "pre_processors.0", "post_processors.0")
}
"""Official names that repeat another tensor, and that tensor's name."""


def name_table(config: "MotionGPT3Config") -> NameTable:
    """The name table of a model of these sizes."""
    text, motion = config.decoder.streams
    clip = config.vae.latents * config.vae.width
    language = "lm.language_model"
    rows, motion_rows = (config.vocabulary + config.new_ids, text.width), (config.motion_ids, motion.width)
    entries = [
        *_vae(config.vae),
        Entry("lm.fake_latent", "null_condition", (config.holders, motion.width), optional=True),
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
        *linear("lm.motion_und_head.layers", "understand", clip, config.holders * motion.width),
        *_head(config.head),
    ]
    return NameTable(tuple(entry for entry in entries if config.new_ids or entry.path != "vocabulary/text/new"), TIED)


def _vae(config: "VaeConfig") -> Entries:
    width, half = config.width, (config.layers - 1) // 2
    positions = (config.max_frames, 1, width)
    yield Entry("vae.global_motion_token", "vae/latent_tokens", (2 * config.latents, width))
    yield Entry("vae.query_pos_encoder.pe", "vae/encoder_positions", positions, "without middle axis")
    yield Entry("vae.query_pos_decoder.pe", "vae/decoder_positions", positions, "without middle axis")
    yield from linear("vae.skel_embedding", "vae/embed", config.features, width)
    yield from linear("vae.final_layer", "vae/final", width, config.features)
    for side in ("encoder", "decoder"):
        theirs, ours, cross = f"vae.{side}", f"vae/{side}", side == "decoder"
        sizes = (width, config.mlp_width, cross)
        yield from _post_norm(f"{theirs}.middle_block", f"{ours}/middle", *sizes)
        yield from layer_norm(f"{theirs}.norm", f"{ours}/norm", width)
        for block in range(half):
            yield from at_layer(block, _post_norm(f"{theirs}.input_blocks.{block}", f"{ours}/inputs/block", *sizes))
            yield from at_layer(block, _post_norm(f"{theirs}.output_blocks.{block}", f"{ours}/outputs/block", *sizes))
            yield from at_layer(
                block, linear(f"{theirs}.linear_blocks.{block}", f"{ours}/outputs/join", 2 * width, width)
            )


def _decoder(config: "DecoderConfig") -> Entries:
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
        yield from layer_norm(f"{model}.ln_f.fn.{number}", f"decoder/final_norm/{stream.name}", width)
        for layer in range(config.layers):
            theirs = f"{model}.h.{layer}"
            block = gpt2_block(
                norms=(f"{theirs}.ln_1.fn.{number}", f"{theirs}.ln_2.fn.{number}"),
                attention=(f"{theirs}.c_attn.fn.{number}", f"{theirs}.c_proj.fn.{number}"),
                mlp=f"{theirs}.mlp.fn.{number}",
                path=ours,
                heads=heads,
                widths=(width, mlp),
            )
            yield from at_layer(layer, block)


def _head(config: "HeadConfig") -> Entries:
    net, width, condition = "lm.diffloss.net", config.width, config.condition
    yield from linear(f"{net}.time_embed.mlp.0", "head/time_in", config.time, width)
    yield from linear(f"{net}.time_embed.mlp.2", "head/time_out", width, width)
    yield from linear(f"{net}.input_proj", "head/input", config.latent, width)
    yield Entry(f"{net}.cond_embed.hidden_embedding", "head/pooling/token", (1, condition))
    positions = (config.max_positions, 1, condition)
    yield Entry(f"{net}.cond_embed.hid_pos.pe", "head/pooling/positions", positions, "without middle axis")
    yield from _post_norm(
        f"{net}.cond_embed.hid_encoder_layer", "head/pooling/layer", condition, config.pool_mlp, False
    )
    yield from linear(f"{net}.cond_embed.cond_proj", "head/pooling/project", condition, width)
    for block in range(config.depth):
        theirs = f"{net}.res_blocks.{block}"
        yield from at_layer(block, layer_norm(f"{theirs}.in_ln", "head/blocks/norm", width))
        yield from at_layer(block, linear(f"{theirs}.mlp.0", "head/blocks/mlp_in", width, width))
        yield from at_layer(block, linear(f"{theirs}.mlp.2", "head/blocks/mlp_out", width, width))
        yield from at_layer(block, linear(f"{theirs}.adaLN_modulation.1", "head/blocks/modulation", width, 3 * width))
    yield from linear(f"{net}.final_layer.adaLN_modulation.1", "head/final_modulation", width, 2 * width)
    yield from linear(f"{net}.final_layer.linear", "head/final", width, config.latent)


def _post_norm(key: str, path: str, width: int, mlp: int, cross: bool) -> Entries:
    """A PyTorch Transformer layer; `cross` adds the attention to a memory, and its norm in the second place."""
    yield from _attention(f"{key}.self_attn", f"{path}/self_attention", width)
    if cross:
        yield from _attention(f"{key}.multihead_attn", f"{path}/cross_attention", width)
    yield from linear(f"{key}.linear1", f"{path}/mlp_in", width, mlp)
    yield from linear(f"{key}.linear2", f"{path}/mlp_out", mlp, width)
    names = ("self_norm", "cross_norm", "mlp_norm") if cross else ("self_norm", "mlp_norm")
    for number, name in enumerate(names, start=1):
        yield from layer_norm(f"{key}.norm{number}", f"{path}/{name}", width)


def _attention(key: str, path: str, width: int) -> Entries:
    yield Entry(f"{key}.in_proj_weight", f"{path}/in_kernel", (3 * width, width), "transposed")
    yield Entry(f"{key}.in_proj_bias", f"{path}/in_bias", (3 * width,))
    yield from linear(f"{key}.out_proj", f"{path}/out", width, width)
