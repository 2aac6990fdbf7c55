"""The config of the token model, for `--config tests/systems/codes/config.py[:bytescript]`."""

from pathlib import Path

from ml_collections import ConfigDict

from motiongpt3_jax.configs.sections import data, mesh, optimizer, stage

FRAMES = 23
"""Of every clip."""

STEPS = 4
"""Of each stage."""


def get_config(system: str = "codescript") -> ConfigDict:
    """A few steps of two stages on the embedded data."""
    tokenizer = {"tokenizer": "train:300"} if system == "codescript" else {}
    rate = optimizer(1e-2, warmup_steps=0, schedule="constant", final_learning_rate=0.0)
    row = {"rows": 2, "clips": ((24, 4),), "samples": 4}
    # Without a tokenizer a letter is a slot.
    longer = {**row, "length": 128 if tokenizer else 256}
    fit = stage("moves", {"codes": 1.0}, ("decoder/.*", "vocabulary/tokens/new"), STEPS, rate, {**row, "length": 48})
    templates = str(Path(__file__).with_name("templates.json"))
    speak = stage("script", {"words": 1.0, "codes": 1.0}, (".*",), STEPS, rate, longer, templates)
    often = {"evaluate_every": STEPS, "checkpoint_every": 2, "validation_batches": 1}
    return ConfigDict(
        {
            "system": system,
            "seed": 3,
            "model": {"decoder": {"width": 16, "layers": 1, "heads": 2, "max_positions": 256}},
            "quantiser": {"codes": 12, "chunk": 4},
            **tokenizer,
            "start": "",
            "data": data("procedural", min_frames=FRAMES, max_frames=FRAMES, clips=40, sequences=0.0, crop=False),
            "mesh": mesh(),
            "run": ("fit", "speak"),
            "stages": {
                "fit": {**fit, **often, "sample_every": 0},
                "speak": {**speak, **often, "sample_every": STEPS},
            },
        }
    )
