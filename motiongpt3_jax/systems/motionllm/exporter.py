"""MotionLLM as files of the published code: `motionllm.pth`, and `vqvae.pth` beside it."""

from pathlib import Path

from flax.traverse_util import flatten_dict

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.interface import ModelSpec, Variables
from motiongpt3_jax.systems.motion_codes.vqvae_names import AVERAGES_LEFT_OUT
from motiongpt3_jax.systems.motionllm.build import build_config
from motiongpt3_jax.systems.motionllm.check import read_pairs
from motiongpt3_jax.systems.motionllm.name_table import adapter_table, vqvae_table
from motiongpt3_jax.tensors.checkpoint_files import write_checkpoint
from motiongpt3_jax.tensors.name_table import to_state_dict

VQVAE_FILE = "vqvae.pth"
"""Where the published code has its motion tokenizer."""

RANKS = {"t2m": 64, "m2t": 32}
"""The adapters that the published code makes, and their ranks."""

BASE = "The published language model that the adapters were trained on, {name!r}, is not in the file."
OWN_BASE = (
    "note: the language model that the adapters were trained on is not in the file, and as it is no published one, the "
    "file cannot be read back: export the model as safetensors too"
)
OTHERS = (
    "note: the published code has the adapters t2m and m2t of ranks 64 and 32, and this model has {has}: set its "
    "options accordingly"
)


def export_pytorch(out: Path, spec: ModelSpec, variables: Variables) -> list[str]:
    """Writes adapters and rows of motions, and the motion tokenizer beside them; returns what there is to say of it."""
    config, beside = build_config(spec), out.with_name(VQVAE_FILE)
    adapters = {adapter.name: adapter.rank for adapter in config.language.adapters.each}
    if not adapters:
        raise UserError(
            "the model has no LoRA adapters, and files of the published code hold nothing else of a language model: "
            "export it as safetensors"
        )
    if read_pairs(spec.config["pairs"]).persons > 1:
        raise UserError(
            "the model is of two people, and the published code knows one: export the model of one person that it "
            "started from, or this one as safetensors"
        )
    if out == beside:
        raise UserError(f"--out {out}: the motion tokenizer will lie there; give another name, such as motionllm.pth")
    shapes = {path: array.shape for path, array in flatten_dict(variables.params, sep="/").items()}
    write_checkpoint(out, to_state_dict(variables.params, adapter_table(config, shapes)), key="")
    tokenizer = to_state_dict({**variables.params, "state": variables.state}, vqvae_table(config))
    write_checkpoint(beside, tokenizer, key="net")
    base = spec.config["pretrained"]
    notes = [f"The motion tokenizer lies beside it, in '{beside}'.", AVERAGES_LEFT_OUT]
    notes.append(BASE.format(name=base) if base else OWN_BASE)
    if adapters != RANKS:
        notes.append(OTHERS.format(has=", ".join(f"{name} of rank {rank}" for name, rank in adapters.items())))
    return notes
