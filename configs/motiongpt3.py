"""MotionGPT3: `base` as published, and other sizes of it.

    motiongpt3 train --config motiongpt3:base --workdir runs/base --config.data.path=~/HumanML3D

Variants:
  base   the published sizes: GPT-2 small on the text branch, a motion branch as wide, a VAE with one latent of 256.
         `--config.tokenizer=openai-community/gpt2 --config.pretrained=openai-community/gpt2` (or a local folder) takes
         GPT-2 as the text branch; else the stage `text` pretrains one.
         `--config.start=MODEL` starts from the trained parts of a model: an imported or exported one, or a run; with
         `--config.run` name the stages that are left.
  small, medium, large, xl, 8b
         other sizes on HumanML3D, see `configs/sizes.py`: a sixth of `base`; GPT-2 medium, large and XL on the text
         branch, and a motion branch as wide; Llama 3.1 8B, and a motion branch of a quarter of its width.
  tiny   the same system at a hundredth of the size, on the embedded data: a first look on a laptop.
  demo   what `motiongpt3 demo` trains within minutes on two cores.
  test   the smallest that runs; for tests.

Append `:official` (as in `motiongpt3:base:official`) to switch every deviation from the published code off at once:
shuffling, packing, losses on prompts and padding, unpredictable targets, dropout of
attention weights and of the VAE, condition dropout.
"""

from functools import partial
from typing import Any

from ml_collections import ConfigDict

from motiongpt3_jax.configs import sections
from motiongpt3_jax.configs.language_model import language_model
from motiongpt3_jax.configs.sections import data, mesh, optimizer
from motiongpt3_jax.configs.sizes import SIZES
from motiongpt3_jax.errors import UserError

MOTION = (
    "decoder/.+/motion(/.*)?",
    "vocabulary/text/new(_head)?",
    "vocabulary/motion/.*",
    "understand/.*",
    "head/.*",
    "null_condition",
)
TEXT = ("decoder/.+/text(/.*)?", "vocabulary/text/.*")
LANGUAGE = ("(?!vae/).*",)
HEAD = "understand/.*|head/.*|null_condition"


def get_config(variant: str = "base", deviations: str = "") -> ConfigDict:
    """The config of a variant; `deviations="official"` as in the module's docstring.

    Raises:
      UserError: for an unknown variant; names the known ones.
    """
    variants = {"tiny": tiny, "base": base, "demo": demo, "test": test}
    variants |= {name: partial(_size, name) for name in SIZES}
    if variant not in variants or deviations not in ("", "official"):
        raise UserError(
            f"no config motiongpt3:{variant}{':' * bool(deviations)}{deviations}; there are: "
            f"{', '.join(f'motiongpt3:{name}[:official]' for name in variants)}"
        )
    config = variants[variant]()
    return official(config) if deviations else config


def _size(name: str) -> ConfigDict:
    return SIZES[name](base())


VAE_OBJECTIVE = {
    # Weight of the smooth L1 of all features.
    "features": 1.0,
    # Weight of the smooth L1 of the joint positions.
    "positions": 0.5,
    # Weight of the smooth L1 of the running sums of the root's velocities.
    "drift": 0.0,
    # Weight of the L1 of places and velocities of ankles and toes.
    "feet": 0.0,
    # Weight of the divergence from a standard normal, per latent value.
    "kl": 1e-5,
    # Whether frames beyond a clip's own count (officially they do).
    "padding": False,
    # Whether dropout is active.
    "dropout": True,
}
"""What the loss `vae` weighs."""

LANGUAGE_OBJECTIVE = {
    # Weight of the cross-entropy of the next token; 0 computes no logits.
    "text": 1.0,
    # Weight of the diffusion or flow loss of the motions to be made; 0 leaves the head out.
    "diffusion": 1.0,
    # Chance of each draw that the head sees the null condition, which guidance needs.
    "condition_dropout": 0.1,
    # Whether the frozen VAE encodes with dropout (officially it does, by accident of its train mode).
    "vae_dropout": False,
    # Whether the decoder's and the head's dropout is active.
    "dropout": True,
    # The adapter of `model.lora` that is used; empty for none.
    "adapter": "",
}
"""What the loss `language` weighs."""

OBJECTIVES = {
    "vae": VAE_OBJECTIVE,
    # The loss `language` on texts without motion.
    "text": {**LANGUAGE_OBJECTIVE, "diffusion": 0.0},
    "language": LANGUAGE_OBJECTIVE,
}


def base() -> ConfigDict:
    """The published model on HumanML3D, for about as many steps as published; packed rows hold more samples in each."""
    rows = {"rows": 8, "text_slots": 320, "motion_slots": 64, "clips": ((64, 3), (128, 4), (200, 8)), "samples": 16}
    return ConfigDict(
        {
            # Which system the rest describes.
            "system": "motiongpt3",
            # Decides fresh parameters, the order of the data, and every draw.
            "seed": 0,
            "model": model(),
            # "train:SIZE" trains one of so many ids on the captions, "train:SIZE+procedural_pairs" on those of a made
            # source as well; else a folder or a hub name.
            "tokenizer": "train:8192",
            # A GPT-2, Llama, Qwen or Gemma for the text branch, a folder or a hub name; it needs its own tokenizer.
            # Empty for none.
            "pretrained": "",
            # A model whose trained parts the run starts from: a folder or a hub name. Empty for none.
            "start": "",
            "data": clips("humanml3d"),
            "layout": layout(),
            "mesh": mesh(),
            # The stages to train, in order.
            "run": ("vae", "text", "generate", "align_bare", "align_instruct", "tune"),
            "stages": {
                "vae": stage(
                    "vae", ("vae/.*",), 120_000, rate=1e-4, rows=16, clips=((64, 1), (128, 2), (200, 5)), samples=8
                ),
                "text": stage(
                    "text",
                    TEXT,
                    20_000,
                    rate=3e-4,
                    templates="text",
                    text_slots=512,
                    rows=16,
                    samples=32,
                ),
                "generate": stage(
                    "language",
                    MOTION,
                    110_000,
                    rate=1e-4,
                    groups=((HEAD, 2.0),),
                    text=0.0,
                    diffusion=1.0,
                    templates="t2m_pretrain",
                    **rows,
                ),
                "align_bare": stage(
                    "language",
                    MOTION,
                    330_000,
                    rate=1e-4,
                    diffusion=0.5,
                    templates="pretrain",
                    **rows,
                ),
                "align_instruct": stage(
                    "language", MOTION, 330_000, rate=8e-5, diffusion=0.5, templates="instructions", **rows
                ),
                "tune": stage(
                    "language",
                    LANGUAGE,
                    330_000,
                    rate=1e-5,
                    diffusion=0.5,
                    templates="witht2t_instructions",
                    **rows,
                ),
            },
        }
    )


def clips(source: str) -> dict[str, Any]:
    """Where the clips come from, and when the VAE encodes those of the language stages."""
    return {
        **data(source),
        # "online": each step encodes its clips. "cached": the VAE encodes whole clips, and the parts that tasks show,
        # once before a language stage begins, into the run's folder. Steps are shorter, and no clip of theirs is cut.
        "latents": "online",
    }


def model() -> dict[str, Any]:
    """The published sizes."""
    return {
        "vae": {
            # Of the hidden states, and of a latent.
            "width": 256,
            # Of the encoder, and of the decoder; odd, for one is in the middle of the skips.
            "layers": 9,
            # Attention heads of each layer.
            "heads": 4,
            # Hidden width of each layer's MLP.
            "mlp_width": 1024,
            # Latent vectors of a clip.
            "latents": 1,
            # Rows of the position tables: the longest clip, and two rows for each latent.
            "max_frames": 500,
            # What layers keep for the backward pass, as the decoder's.
            "remat": "none",
        },
        "decoder": {
            # The text stream's; in a layer all streams have as many heads.
            **language_model(width=768, layers=12, heads=12),
            # Widths of the motion stream, of its MLP too, as a factor of the text's.
            "motion_factor": 1.0,
            # 2, or 1: then both streams go through the same weights, which both must train.
            "branches": 2,
            # In which layers the streams attend to each other: "all", "none", "odd" (counted from 1), "last_third".
            "attention_mode": "all",
        },
        "head": {
            # Of the MLP that predicts noise or flow.
            "width": 1024,
            # Its residual blocks.
            "depth": 3,
            # Attention heads of the layer that pools a motion's hidden states.
            "heads": 4,
            # Width of the sinusoidal embedding of the noise level; even.
            "time": 256,
        },
        # Chance of dropout in all parts.
        "dropout": 0.1,
        # The same of the decoder's attention weights (officially 0.1); above 0 no kernel computes the attention.
        "attention_dropout": 0.0,
        # Of the decoder in training: "auto" is "splash" on TPUs, "cudnn" on GPUs in half precision, else "reference".
        "attention": "auto",
        # Of the computation: "float32", "bfloat16" or "float16"; parameters are float32.
        "dtype": "float32",
        # Factor from the VAE's latents to the language model's (officially 0.8457 on HumanML3D); None measures mean and
        # deviation of every channel while the VAE trains.
        "latent_scale": None,
        # Steps of the noise schedule.
        "diffusion_steps": 1000,
        # Variance that the first and the last step of the noise schedule add; linear between them.
        "betas": (0.00085, 0.012),
        # Draws of noise level and noise for each motion of a batch.
        "repeats": 4,
        # Rectified flow instead of noise prediction.
        "flow": False,
        # How training draws noise levels: "uniform", or "logit_normal", which draws those between noise and motion more
        # often.
        "times": "uniform",
        # Motion slots that stand for one clip; a row needs room for so many for each of its clips (`motion_slots`).
        "holders": 4,
        # LoRA adapters of the decoder by name, each as `sections.adapter` makes one; none here.
        "lora": {},
    }


def layout() -> dict[str, Any]:
    """How sequences are laid out."""
    return {
        # Longest sequence; longer ones lose words of their longest stretch of text (officially their end).
        "max_length": 192,
        # Whether words of the question are targets too (officially they are).
        "prompt_loss": False,
        # Whether sequences are padded to their longest with targets (officially they are).
        "pad_loss": False,
        # Whether targets behind a motion slot, which no text slot can predict, count as ln(vocabulary) (officially so).
        "unpredictable_targets": False,
        # Whether the chunks of two input clips alternate (officially so), or follow each other.
        "interleave": False,
        # Largest position at which a sequence of text alone may start, so that all are trained (officially 0).
        "max_position_offset": 16,
    }


def batch(
    rows: int, text_slots: int, motion_slots: int, clips: tuple[tuple[int, int], ...], samples: int
) -> dict[str, Any]:
    """How much a batch of a stage holds."""
    return {
        # Rows of a batch, over all devices; with `mesh.rows` "per_shard", of each of data x fsdp devices.
        "rows": rows,
        # Text tokens of a row.
        "text_slots": text_slots,
        # Motion tokens of a row: `model.holders` a clip.
        "motion_slots": motion_slots,
        # (frames, clips): so many clips of at most so many frames in a row, from short to long.
        "clips": clips,
        # Motions to be made in a row.
        "outputs": samples if motion_slots else 0,
        # Samples in a row at most.
        "samples": samples,
    }


def stage(
    loss: str,
    trainable: tuple[str, ...],
    steps: int,
    *,
    rate: float,
    rows: int,
    text_slots: int = 0,
    motion_slots: int = 0,
    clips: tuple[tuple[int, int], ...] = (),
    samples: int = 1,
    templates: str = "",
    subtasks: tuple[tuple[str, float], ...] = (),
    groups: tuple[tuple[str, float], ...] = (),
    **objective: float,
) -> dict[str, Any]:
    """One stage; `objective` are the weights and switches of its loss that are not those of `OBJECTIVES`."""
    return sections.stage(
        loss,
        {**OBJECTIVES[loss], **objective},
        trainable,
        steps,
        optimizer(rate, groups=groups),
        batch(rows, text_slots, motion_slots, clips, samples),
        templates,
        subtasks,
    )


def official(config: ConfigDict) -> ConfigDict:
    """Every deviation from the published code switched off: one sample becomes one row of 192 slots."""
    config.layout.update({"prompt_loss": True, "pad_loss": True, "unpredictable_targets": True, "interleave": True})
    config.layout.max_position_offset = 0
    config.model.attention_dropout = config.model.dropout
    config.data.update({"shuffle": False, "crop": True})
    if config.data.source == "humanml3d":
        config.data.min_frames = 20
    with config.ignore_type():
        config.model.latent_scale = 0.8457
    longest = config.data.max_frames + 1
    for name, part in config.stages.items():
        with config.ignore_type():
            part.optimizer.update({"clip_norm": None, "warmup_steps": 0, "schedule": "constant"})
        part.objective.dropout = True
        if part.loss == "vae":
            part.objective.padding = True
            part.batch.update({"rows": 64, "clips": ((longest, 1),), "samples": 1})
        if part.loss == "language":
            part.objective.vae_dropout = True
            part.objective.condition_dropout = 0.1 if name == "generate" else 0.0
            part.batch.update(
                {
                    "rows": 64,
                    "text_slots": config.layout.max_length,
                    "motion_slots": 16,
                    "clips": ((longest, 3),),
                    "outputs": 1,
                    "samples": 1,
                }
            )
    return config


def shrink(
    config: ConfigDict, *, width: int, layers: int, vae_width: int, vae_layers: int, head_width: int
) -> ConfigDict:
    """Shrinks every part of the model."""
    config.model.vae.update({"width": vae_width, "layers": vae_layers, "heads": 4, "mlp_width": 2 * vae_width})
    config.model.vae.max_frames = 208
    config.model.decoder.update({"width": width, "layers": layers, "heads": 4, "max_positions": 256})
    config.model.head.update({"width": head_width, "depth": 3, "time": 64})
    return config


def tiny() -> ConfigDict:
    """A hundredth of `base`, on the embedded data, both branches trained from the start."""
    config = shrink(base(), width=128, layers=4, vae_width=128, vae_layers=5, head_width=256)
    config.data = ConfigDict(clips("procedural"))
    config.tokenizer = "train:1024"
    rows = {"rows": 8, "text_slots": 256, "motion_slots": 48, "clips": ((64, 3), (128, 4), (200, 4)), "samples": 10}
    joint = (*MOTION, *TEXT)
    config.stages = ConfigDict(
        {
            "vae": stage(
                "vae", ("vae/.*",), 20_000, rate=4e-4, rows=16, clips=((64, 1), (128, 2), (200, 1)), samples=4
            ),
            "text": stage(
                "text",
                TEXT,
                2000,
                rate=1e-3,
                templates="text",
                text_slots=256,
                rows=8,
                samples=16,
            ),
            "generate": stage(
                "language",
                joint,
                20_000,
                rate=5e-4,
                text=0.0,
                templates="t2m_pretrain",
                **rows,
            ),
            "align_bare": stage("language", joint, 10_000, rate=5e-4, templates="pretrain", **rows),
            "align_instruct": stage("language", joint, 10_000, rate=3e-4, templates="instructions", **rows),
            "tune": stage("language", LANGUAGE, 5000, rate=1e-4, templates="witht2t_instructions", **rows),
        }
    )
    return config


def demo() -> ConfigDict:
    """Single actions of 2.4 seconds: minutes on two cores.

    Left and right are a small part of every gradient, and whether they are learned in so few steps must not be luck:
    a rectified flow's loss weighs what only the sentence can tell (the latent's mean under pure noise) as much as the
    rest, which the prediction of noise hardly does, and Muon moves along rare directions as far as along common ones.

    Dropout is for `align_bare` alone: without it the model answers "sits down quickly", which no training clip shows,
    with the squat that is quick in training.
    """
    config = shrink(tiny(), width=128, layers=3, vae_width=64, vae_layers=3, head_width=256)
    config.model.vae.mlp_width = 256
    config.model.update({"dropout": 0.1, "repeats": 8, "flow": True})
    config.data.update({"min_frames": 47, "max_frames": 47, "sequences": 0.0, "clips": 6000, "crop": False})
    config.tokenizer = "train:512"
    config.run = ("vae", "text", "generate", "align_bare")
    clips = {"clips": ((48, 8),), "samples": 8}
    joint = (*MOTION, *TEXT)
    rows = {"rows": 4, "text_slots": 144, "motion_slots": 32, **clips}
    config.stages = ConfigDict(
        {
            "vae": stage("vae", ("vae/.*",), 1400, rate=4e-3, rows=4, drift=0.01, feet=0.1, dropout=False, **clips),
            "text": stage(
                "text", TEXT, 200, rate=2e-3, templates="text", text_slots=256, rows=4, samples=16, dropout=False
            ),
            "generate": stage(
                "language",
                joint,
                700,
                rate=2e-3,
                text=0.0,
                dropout=False,
                templates="t2m_pretrain",
                **rows,
            ),
            "align_bare": stage(
                "language",
                joint,
                650,
                rate=1e-3,
                templates="pretrain",
                subtasks=(("t2m", 1.0), ("m2t", 1.0)),
                **rows,
            ),
        }
    )
    for part in config.stages.values():
        part.update({"evaluate_every": 500, "checkpoint_every": 500, "sample_every": 0})
    with config.ignore_type():
        config.stages.vae.optimizer.update({"warmup_steps": 50, "final_learning_rate": 1e-4})
    for name in ("vae", "generate"):
        config.stages[name].optimizer.muon = (".*kernel",)
    return config


def test() -> ConfigDict:
    """The smallest that runs: a few steps of every stage in seconds."""
    config = shrink(demo(), width=32, layers=2, vae_width=32, vae_layers=3, head_width=32)
    config.data.update({"clips": 64})
    config.model.update({"dropout": 0.0, "flow": False})
    config.tokenizer = "train:300"
    for part in config.stages.values():
        part.steps = 2
        part.batch.rows = 2
        part.update(
            {
                "log_every": 1,
                "evaluate_every": 2,
                "checkpoint_every": 2,
                "sample_every": 0 if part.loss == "text" else 2,
                "validation_batches": 1,
            }
        )
        part.optimizer.warmup_steps = 0
    return config
