"""The config of the token model, for `--config tests/systems/codes/config.py[:bytescript]`."""

from pathlib import Path

from ml_collections import ConfigDict

FRAMES = 23
"""Of every clip."""


def get_config(system: str = "codescript") -> ConfigDict:
    """A few steps of two stages on the embedded data."""
    clips = ((24, 4),)
    tokenizer = {"tokenizer": "train:300"} if system == "codescript" else {}
    return ConfigDict(
        {
            "system": system,
            "seed": 3,
            "model": {"decoder": {"width": 16, "layers": 1, "heads": 2, "max_positions": 256}},
            "quantiser": {"codes": 12, "chunk": 4},
            **tokenizer,
            "start": "",
            "data": {
                "source": "procedural",
                "path": "",
                "min_frames": FRAMES,
                "max_frames": FRAMES,
                "on_bad": "stop",
                "clips": 40,
                "sequences": 0.0,
                "shuffle": True,
                "crop": False,
                "workers": 0,
            },
            "mesh": {"data": -1, "fsdp": 1, "tensor": 1},
            "run": ("fit", "speak"),
            "stages": {
                "fit": stage("moves", {"codes": 1.0}, ("decoder/.*", "vocabulary/tokens/new"), 48, clips),
                "speak": stage(
                    "script",
                    {"words": 1.0, "codes": 1.0},
                    (".*",),
                    # Without a tokenizer a letter is a slot.
                    128 if tokenizer else 256,
                    clips,
                    str(Path(__file__).with_name("templates.json")),
                ),
            },
        }
    )


def stage(
    loss: str,
    objective: dict[str, float],
    trainable: tuple[str, ...],
    length: int,
    clips: tuple[tuple[int, int], ...],
    templates: str = "",
) -> dict:
    """One stage of a few steps."""
    return {
        "loss": loss,
        "objective": objective,
        "trainable": trainable,
        "steps": 4,
        "optimizer": {
            "learning_rate": 1e-2,
            "groups": (),
            "b1": 0.9,
            "b2": 0.99,
            "eps": 1e-8,
            "weight_decay": 0.0,
            "muon": (),
            "clip_norm": 1.0,
            "warmup_steps": 0,
            "schedule": "constant",
            "final_learning_rate": 0.0,
            "accumulate": 1,
            "ema": None,
        },
        "batch": {"rows": 2, "length": length, "clips": clips, "samples": 4},
        "templates": templates,
        "subtasks": (),
        "log_every": 1,
        "evaluate_every": 4,
        "checkpoint_every": 2,
        "keep": 2,
        "keep_every": 0,
        "best": "loss",
        "sample_every": 4 if templates else 0,
        "validation_batches": 1,
    }
