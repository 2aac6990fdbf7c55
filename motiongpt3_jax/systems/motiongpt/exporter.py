"""MotionGPT as a checkpoint of the official code."""

from pathlib import Path

from motiongpt3_jax.systems.interface import ModelSpec, Variables
from motiongpt3_jax.systems.motion_codes.vqvae_names import AVERAGES_LEFT_OUT
from motiongpt3_jax.systems.motiongpt.build import build_config
from motiongpt3_jax.systems.motiongpt.official import to_official
from motiongpt3_jax.tensors.checkpoint_files import write_checkpoint

CODES = 512
"""Codes of the official model; its ids of motions are written into its code."""

WORDS = {"t5": 32_100, "gpt2": 50_257}
"""Ids of the tokenizer that the official code loads for each kind of language model."""

TOKENIZER = (
    "note: the official code loads a published tokenizer of {official} ids, and this model has its own of {words}: put "
    "the folder `tokenizer` of an exported model in its place"
)
OTHER_CODES = "note: this model has {codes} codes; set CODE_NUM and the ids of motions in the official code accordingly"


def export_pytorch(out: Path, spec: ModelSpec, variables: Variables) -> list[str]:
    """Writes a checkpoint of the official code; returns what there is to say of it."""
    config, notes = build_config(spec), [AVERAGES_LEFT_OUT]
    official = WORDS[spec.config["model"]["lm"]]
    if config.words != official:
        notes.append(TOKENIZER.format(official=official, words=config.words))
    if config.vqvae.codes != CODES:
        notes.append(OTHER_CODES.format(codes=config.vqvae.codes))
    write_checkpoint(out, to_official(variables, config))
    return notes
