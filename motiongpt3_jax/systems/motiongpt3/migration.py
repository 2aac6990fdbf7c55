"""What older versions wrote, in today's form: configs of model folders, and parameters of checkpoints.

Checkpoints of formats 1 and 2 have, in each stream of the decoder's layers,

    qkv            kernel (layers, width, 3 x heads x head width)    q, k, v   (layers, width, heads, head width) each
    attention_out  kernel (layers, heads x head width, width)        o         (layers, heads, head width, width)
    mlp_in         kernel (layers, width, hidden)                    up        the same
    mlp_out        kernel (layers, hidden, width)                    down      the same

and their biases. Whatever lies at the paths of parameters moves with them: Adam's moments, Muon's momentum, averages.
"""

from collections.abc import Callable, Mapping
from typing import Any

from motiongpt3_jax.models.attention_kernels import AUTO
from motiongpt3_jax.models.remat import NONE, policy_name
from motiongpt3_jax.systems.adapters import fill_adapters

Tree = Any
Leaf = Any
"""An array, or what stands in its place where an optimizer holds none."""

Upgrade = Callable[[str, Leaf, int], dict[str, Leaf]]
"""(name of the leaf, leaf, heads) -> the leaf of each new layer."""


def upgrade_tree(tree: Tree, heads: int) -> Tree:
    """Renames and splits parameters of old paths, bit for bit; everything else stays as it is.

    Args:
      tree: parameters, optimizer state, averages, or all of them: nested dictionaries, lists, tuples and arrays.
      heads: of the decoder.
    """
    return _upgrade(tree, (), heads)


def _upgrade(node: Tree, path: tuple[str, ...], heads: int) -> Tree:
    if isinstance(node, Mapping):
        children = {name: _upgrade(child, (*path, str(name)), heads) for name, child in node.items()}
        return _upgrade_block(children, heads) if path[-3:-1] == ("decoder", "layers") else children
    if isinstance(node, list | tuple):
        children = [_upgrade(child, (*path, str(number)), heads) for number, child in enumerate(node)]
        return type(node)(*children) if hasattr(node, "_fields") else type(node)(children)
    return node


def _upgrade_block(block: Mapping[str, Tree], heads: int) -> dict[str, Tree]:
    """One stream's part of the layers."""
    new: dict[str, Tree] = {}
    for name, layer in block.items():
        if name not in UPGRADES:
            new[name] = layer
        elif not isinstance(layer, Mapping):
            new |= UPGRADES[name]("", layer, heads)
        else:
            for leaf, x in layer.items():
                for target, part in UPGRADES[name](leaf, x, heads).items():
                    new.setdefault(target, {})[leaf] = part
    return new


def _split_qkv(leaf: str, x: Leaf, heads: int) -> dict[str, Leaf]:
    """Columns of the queries, of the keys, of the values; each head by head."""
    if not hasattr(x, "ndim"):
        return dict.fromkeys("qkv", x)
    split = x.reshape(*x.shape[:-1], 3, heads, -1)
    return {name: split[..., number, :, :] for number, name in enumerate("qkv")}


def _split_out(leaf: str, x: Leaf, heads: int) -> dict[str, Leaf]:
    """Rows of the kernel head by head."""
    if leaf == "kernel" and hasattr(x, "ndim"):
        x = x.reshape(*x.shape[:-2], heads, -1, x.shape[-1])
    return {"o": x}


UPGRADES: dict[str, Upgrade] = {
    "qkv": _split_qkv,
    "attention_out": _split_out,
    "mlp_in": lambda leaf, x, heads: {"up": x},
    "mlp_out": lambda leaf, x, heads: {"down": x},
}

LAYOUT_NAMES = {"slots": "max_length", "blind": "unpredictable_targets", "start": "max_position_offset"}
"""Keys of the config's section `layout` before format 2 of model folders, and what they are called now."""


NEW_MODEL_VALUES = {"diffusion_steps": 1000, "betas": (0.00085, 0.012)}
"""Values of the config's section `model` that every model of format 1 had, and its config did not say."""

NEW_STAGE_VALUES = {"keep": 2, "best": "loss"}
"""Values of a stage that every run of format 1 had, and its config did not say."""

NEW_OPTIMIZER_VALUES = {"eps": 1e-8}
"""The same of an optimizer; a config could say it."""


NEW_DECODER_VALUES = {
    "branches": 2,
    "family": "gpt2",
    "kv_heads": None,
    "head_width": None,
    "mlp_width": None,
    "norm_eps": 1e-5,
    "rope_theta": 10_000.0,
    "rope_scaling": None,
    "rope_local_theta": None,
    "sliding_window": None,
    "sliding_window_pattern": None,
    "query_pre_attn_scalar": None,
    "attention_cap": None,
    "logit_cap": None,
    "tied": True,
}
"""Values of the config's section `model.decoder` that every decoder had while no config said them."""


def upgrade_config(config: Mapping[str, Any], version: int) -> Mapping[str, Any]:
    """The config of a model's folder of format 1, which has none written there, or of an earlier one of format 2."""
    sections = {"model": _upgrade_model, "data": lambda data: {"latents": "online", **data}, "stages": fill_adapters}
    if version < 2:
        sections |= {
            "layout": _rename_layout,
            "model": lambda model: {**NEW_MODEL_VALUES, **_upgrade_model(model)},
            "stages": lambda stages: fill_adapters(_fill_stages(stages)),
        }
    upgraded = {key: upgrade(config[key]) for key, upgrade in sections.items() if isinstance(config.get(key), Mapping)}
    return {**config, **upgraded}


def _upgrade_model(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """What older configs leave out: all decoders were GPT-2's, and attention weights had the dropout of all parts."""
    if "dropout" in model:
        new = {"attention": AUTO, "times": "uniform", "holders": 4, "lora": {}}
        model = {"attention_dropout": model["dropout"], **new, **model}
    decoder, vae = model.get("decoder"), model.get("vae")
    if isinstance(decoder, Mapping):
        policy = {"remat": policy_name(decoder["remat"])} if "remat" in decoder else {}
        model = {**model, "decoder": {**NEW_DECODER_VALUES, **decoder, **policy}}
    return {**model, "vae": {"remat": NONE, **vae}} if isinstance(vae, Mapping) else model


def _rename_layout(layout: Mapping[str, Any]) -> Mapping[str, Any]:
    return {LAYOUT_NAMES.get(key, key): value for key, value in layout.items()}


def _fill_stages(stages: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: _fill_stage(stage) if isinstance(stage, Mapping) else stage for name, stage in stages.items()}


def _fill_stage(stage: Mapping[str, Any]) -> Mapping[str, Any]:
    filled = {**NEW_STAGE_VALUES, **stage}
    if isinstance(filled.get("optimizer"), Mapping):
        filled["optimizer"] = {**NEW_OPTIMIZER_VALUES, **filled["optimizer"]}
    return filled
