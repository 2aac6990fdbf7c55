"""MotionGPT: `base` as published, and other sizes.

    motiongpt3 train --config motiongpt:base --workdir runs/motiongpt --config.data.path=~/HumanML3D

Variants:
  base   the published sizes: FLAN-T5 base over words and 512 codes of motion, which a VQ-VAE makes.
         `--config.tokenizer=google/flan-t5-base --config.pretrained=google/flan-t5-base` (or a local folder) takes
         FLAN-T5 as the language model; else it starts fresh, with a tokenizer trained on the captions.
         `--config.start=MODEL` starts from the trained parts of a model: an imported or exported one, or a run; with
         `--config.run` name the stages that are left.
  small, large  FLAN-T5 of these sizes, otherwise as `base`.
  gpt2   the paper's variant with GPT-2 medium, which reads question and answer as one text.
  tiny   the same system at a hundredth of the size, on the embedded data: a first look on a laptop.
  demo   what `motiongpt3 demo --config motiongpt:demo` trains within minutes on two cores.
  test   the smallest that runs; for tests.

Append `:official` (as in `motiongpt:base:official`) to switch every deviation from the published code off at once:
shuffling, packing, lengths told in codes, pieces that have seen the whole clip, clipped gradients and warmup.
"""

from typing import Any

from ml_collections import ConfigDict

from motiongpt3_jax.configs.motion_codes import CLIPS, KERNELS, TOKENIZER, clips, layout, stage, vqvae
from motiongpt3_jax.configs.sections import mesh
from motiongpt3_jax.errors import UserError

LANGUAGE = ("(?!vqvae/).*",)

HEAD = 64
"""Width of an attention head of the published models."""


def get_config(variant: str = "base", deviations: str = "") -> ConfigDict:
    """The config of a variant; `deviations="official"` as in the module's docstring.

    Raises:
      UserError: for an unknown variant; names the known ones.
    """
    variants = {"base": base, "small": small, "large": large, "gpt2": gpt2, "tiny": tiny, "demo": demo, "test": test}
    if variant not in variants or deviations not in ("", "official"):
        raise UserError(
            f"no config motiongpt:{variant}{':' * bool(deviations)}{deviations}; there are: "
            f"{', '.join(f'motiongpt:{name}[:official]' for name in variants)}"
        )
    config = variants[variant]()
    return official(config) if deviations else config


MIXED = {"words_alone": 0.2, "motion_alone": 0.2}
"""Samples without a question while pretraining, as in the paper."""


def base() -> ConfigDict:
    """The published model on HumanML3D, for about as many samples as published; packed rows hold several in each."""
    # Nine tenths of such rows are used by HumanML3D's clips and captions.
    rows = {"rows": 8, "clips": CLIPS, "samples": 32}
    mixed, motions = {"source": 512, "target": 384}, {"source": 256, "target": 512}
    return ConfigDict(
        {
            # Which system the rest describes.
            "system": "motiongpt",
            # Decides fresh parameters, the order of the data, and every draw.
            "seed": 0,
            "model": model(width=768, layers=12, heads=12, mlp_width=2048),
            # "train:SIZE" trains one of so many ids on the captions, "train:SIZE+procedural_pairs" on those of a made
            # source as well; else a folder or a hub name.
            "tokenizer": "train:8192",
            # A FLAN-T5 for the language model, a folder or a hub name; it needs its own tokenizer. Empty for none.
            "pretrained": "",
            # A model whose trained parts the run starts from: a folder or a hub name. Empty for none.
            "start": "",
            "data": clips("humanml3d"),
            "layout": layout(),
            "mesh": mesh(),
            # The stages to train, in order.
            "run": ("tokenizer", "pretrain", "instruct", "t2m"),
            "stages": {
                "tokenizer": stage(
                    "tokenizer",
                    TOKENIZER,
                    150_000,
                    rate=2e-4,
                    rows=16,
                    clips=((64, 16),),
                    samples=16,
                    window=64,
                ),
                "pretrain": stage(
                    "language", LANGUAGE, 64_000, rate=2e-4, templates="pretrain", slots=mixed, **MIXED, **rows
                ),
                "instruct": stage(
                    "language", LANGUAGE, 76_000, rate=1e-4, templates="all_instructions", slots=mixed, **rows
                ),
                "t2m": stage("language", LANGUAGE, 44_000, rate=1e-4, templates="t2m_pretrain", slots=motions, **rows),
            },
        }
    )


def model(*, width: int, layers: int, heads: int, mlp_width: int, max_positions: int | None = None) -> dict[str, Any]:
    """The published tokenizer of motion, and a language model of some sizes."""
    return {
        "vqvae": vqvae(),
        # "t5", or "gpt2" for a decoder alone.
        "lm": "t5",
        "language": {
            # Of the hidden states.
            "width": width,
            # Of the encoder, and of the decoder.
            "layers": layers,
            # Heads of every attention.
            "heads": heads,
            # Of each of them.
            "head_width": HEAD,
            # Hidden width of each layer's MLP.
            "mlp_width": mlp_width,
            # Rows of the position table of a decoder alone: the longest sequence; None for a T5.
            "max_positions": max_positions,
            # Whether the layers run in one compiled loop; changes compile time alone.
            "scan": True,
            # What layers keep for the backward pass, from most memory to least: "none" all that it reads, "dots" the
            # results of all products, "dots_no_batch" of those with kernels alone, "full" their inputs; the rest is
            # computed again.
            "remat": "none",
        },
        # Chance of dropout in the language model.
        "dropout": 0.1,
        # The same of its attention weights (officially 0.1); above 0 no kernel computes the attention.
        "attention_dropout": 0.0,
        # Of a decoder alone in training: "auto" is "splash" on TPUs, "cudnn" on GPUs in half precision, else
        # "reference", which a T5 has always.
        "attention": "auto",
        # Of the computation: "float32", "bfloat16" or "float16"; parameters are float32.
        "dtype": "float32",
        # LoRA adapters of the language model by name, each as `sections.adapter` makes one; none here.
        "lora": {},
    }


def small() -> ConfigDict:
    """FLAN-T5 small."""
    return _with_model(base(), model(width=512, layers=8, heads=6, mlp_width=1024))


def large() -> ConfigDict:
    """FLAN-T5 large."""
    return _with_model(base(), model(width=1024, layers=24, heads=16, mlp_width=2816))


def gpt2() -> ConfigDict:
    """GPT-2 medium: question, line break and answer are one text."""
    sizes = model(width=1024, layers=24, heads=16, mlp_width=4096, max_positions=1024)
    return _as_decoder(_with_model(base(), sizes))


def _with_model(config: ConfigDict, sizes: dict[str, Any]) -> ConfigDict:
    with config.ignore_type():
        config.model = ConfigDict(sizes)
    return config


def _as_decoder(config: ConfigDict) -> ConfigDict:
    """One stream, as long as both of a T5."""
    config.model.lm = "gpt2"
    for part in config.stages.values():
        if part.loss == "language":
            slots = sum(part.batch.slots.values())
            part.batch.slots = ConfigDict({"tokens": slots})
    return config


def official(config: ConfigDict) -> ConfigDict:
    """Every deviation from the published code switched off: one sample becomes one row."""
    config.layout.official = True
    config.model.vqvae.permute = False
    config.model.attention_dropout = config.model.dropout
    config.data.update({"shuffle": False, "crop": False})
    longest, room = config.data.max_frames, config.layout.max_length
    for part in config.stages.values():
        with config.ignore_type():
            part.optimizer.update({"clip_norm": None, "warmup_steps": 0, "schedule": "constant"})
        if part.loss == "tokenizer":
            window = min(64, longest)
            part.batch.update({"rows": 256, "clips": ((window, 1),), "samples": 1, "window": window})
        else:
            part.objective.dropout = True
            # The published code never draws its span corruption; its GPT-2 reads words or motion alone throughout.
            mixed = MIXED if config.model.lm == "gpt2" else dict.fromkeys(MIXED, 0.0)
            part.objective.update(mixed)
            part.batch.update({"rows": 16, "clips": ((longest, 3),), "samples": 1})
            for stream in part.batch.slots:
                part.batch.slots[stream] = room
    return config


def tiny() -> ConfigDict:
    """A hundredth of `base`, on the embedded data, everything trained from the start."""
    config = _shrunk(base(), width=128, layers=4, vq_width=128, codes=256)
    config.data = ConfigDict(clips("procedural"))
    config.tokenizer = "train:1024"
    rows = {"rows": 8, "slots": {"source": 256, "target": 256}, "clips": CLIPS, "samples": 10}
    config.stages = ConfigDict(
        {
            "tokenizer": stage(
                "tokenizer", TOKENIZER, 20_000, rate=4e-4, rows=16, clips=((64, 4),), samples=4, window=64
            ),
            "pretrain": stage("language", LANGUAGE, 20_000, rate=5e-4, templates="pretrain", **MIXED, **rows),
            "instruct": stage("language", LANGUAGE, 10_000, rate=3e-4, templates="all_instructions", **rows),
            "t2m": stage("language", LANGUAGE, 5000, rate=1e-4, templates="t2m_pretrain", **rows),
        }
    )
    return config


def _shrunk(config: ConfigDict, *, width: int, layers: int, vq_width: int, codes: int) -> ConfigDict:
    """Shrinks every part of the model."""
    config.model.vqvae.update({"width": vq_width, "code_width": vq_width, "codes": codes})
    language = config.model.language
    language.update({"width": width, "layers": layers, "heads": 4})
    language.update({"head_width": width // 4, "mlp_width": 2 * width})
    return config


def demo() -> ConfigDict:
    """Single actions of 2.4 seconds: minutes on two cores.

    Left and right are a small part of every gradient: Muon moves along rare directions as far as along common ones.

    Without dropout the T5 names every training clip right, and held-out ones as well as its seed has it; of
    12,000 clips less surely than of 20,000.
    """
    config = _shrunk(tiny(), width=128, layers=2, vq_width=96, codes=256)
    # Unrolled, two layers compile soon enough, and a step takes two thirds of the time.
    config.model.language.scan = False
    config.data.update({"min_frames": 47, "max_frames": 47, "sequences": 0.0, "clips": 20_000, "crop": False})
    config.tokenizer = "train:512"
    config.layout.max_length = 64
    config.run = ("tokenizer", "pretrain")
    rows = {"rows": 4, "slots": {"source": 160, "target": 144}, "clips": ((48, 8),), "samples": 8}
    instruct = {**rows, "slots": {"source": 384, "target": 256}, "clips": ((48, 16),)}
    config.stages = ConfigDict(
        {
            "tokenizer": stage(
                "tokenizer", TOKENIZER, 2400, rate=2e-3, rows=4, clips=((48, 8),), samples=8, muon=KERNELS
            ),
            "pretrain": stage(
                "language",
                LANGUAGE,
                3000,
                rate=2e-3,
                templates="pretrain",
                subtasks=(("t2m", 0.7), ("m2t", 1.0)),
                muon=KERNELS,
                **rows,
            ),
            "instruct": stage("language", LANGUAGE, 1000, rate=1e-3, templates="all_instructions", **instruct),
            "t2m": stage("language", LANGUAGE, 500, rate=1e-3, templates="t2m_pretrain", **rows),
        }
    )
    for part in config.stages.values():
        part.update({"evaluate_every": 600, "checkpoint_every": 600, "sample_every": 0})
    with config.ignore_type():
        config.stages.tokenizer.optimizer.update({"warmup_steps": 50})
    return config


def test() -> ConfigDict:
    """The smallest that runs: a few steps of every stage in seconds."""
    config = _shrunk(demo(), width=32, layers=1, vq_width=32, codes=16)
    config.model.vqvae.depth = 2
    config.model.dropout = 0.0
    config.data.update({"clips": 64, "codes": "online"})
    config.tokenizer = "train:300"
    config.run = ("tokenizer", "pretrain", "instruct", "t2m")
    for part in config.stages.values():
        part.steps = 2
        part.batch.rows = 2
        part.update({"log_every": 1, "evaluate_every": 2, "checkpoint_every": 2, "validation_batches": 1})
        part.sample_every = 2 if part.loss == "tokenizer" else 0
        part.optimizer.warmup_steps = 0
    config.stages.t2m.sample_every = 2
    config.stages.pretrain.subtasks = (("t2m", 1.0), ("m2t", 1.0))
    config.stages.pretrain.objective.update(MIXED)
    return config
