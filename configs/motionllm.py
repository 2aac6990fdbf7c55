"""MotionLLM: a pretrained language model learns motion with low-rank adapters.

    motiongpt3 train --config motionllm:gemma2_2b --workdir runs/motionllm --config.data.path=~/HumanML3D

Variants:
  gemma2_2b  the published base, Gemma 2 of 2 billion parameters, from the hub; a folder that holds it serves as well:
             `--config.tokenizer=FOLDER --config.pretrained=FOLDER`.
  gemma3_1b, qwen3_0_6b, llama3_8b  other bases.
  tiny   the same system at a thousandth of the size, on the embedded data: a first look on a laptop. A stage trains the
         language model on the captions alone, as none is named that comes trained; then it is frozen.
  demo   what `motiongpt3 demo --config motionllm:demo` trains within minutes on two cores.
  test   the smallest that runs; for tests.

Every variant has two adapters: `t2m` makes motions, and trains together with the rows of motions in the vocabulary;
`m2t` writes captions, and trains alone, so that motions stay what they were.

Append `:pair` (as in `motionllm:demo:pair`) for two people: a stage `pair` trains an adapter of its own, `inter`, and
rows of its own for roles and places, and all else stays as it was. It starts from a run or model of one person,
`--config.start=runs/motionllm`, on clips of two: those of InterHuman, in a small variant procedural ones. The
tokenizer of a small variant has never seen hands that meet, and its language model has read no word about two people:
there both train on with clips and captions of two, and the rows of the codes too, so that such a model makes two people
alone. With `--config.pairs.order=interleaved` the two are
written side by side in time instead of one after the other, and with `--config.pairs.anchors=True` the place of the
second one is told once a second.

Append `:official` (as in `motionllm:gemma2_2b:official`) to switch every deviation from the published code off at once:
no soft cap of attention scores, rows of motions frozen as they begin, one sample a row of 200 tokens, a constant rate,
answers among all ids.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from motiongpt3_jax.configs.language_model import language_model
from motiongpt3_jax.configs.motion_codes import CLIPS, KERNELS, TOKENIZER, clips, layout, stage, vqvae
from motiongpt3_jax.configs.sections import adapter, mesh
from motiongpt3_jax.data_pipelines.sources import LEAST_FRAMES
from motiongpt3_jax.errors import UserError

EVERY = ("tokens/.*",)
"""The seven projections of every layer."""

ROWS = "vocabulary/new(_head)?"
"""Vectors of the ids of motions."""

LATER = "vocabulary/later(_head)?"
"""Vectors of the ids of two people, where rows have a head of their own that too."""

BASE = (r"decoder/(?!.*/lora/).*", r"vocabulary/(table|head)")
"""The language model as it comes trained."""

LORA = r".*/lora/{}/.*"

MOTIONS = (("t2m_caption", 1.0), ("t2m_seclen", 0.2), ("t2m_random", 0.1), ("pred", 0.2), ("inbetween", 0.2))
"""What the adapter of motions learns, and how often a clip is shown so."""

TEXTS = (("m2t_caption", 1.0), ("m2t_seclen", 0.2), ("t2m_caption", 0.2))
"""The same of the adapter of captions, which in a chat says where a motion begins."""


def get_config(variant: str = "gemma2_2b", deviations: str = "") -> ConfigDict:
    """The config of a variant; `deviations` as in the module's docstring.

    Raises:
      UserError: for an unknown variant; names the known ones.
    """
    if variant not in VARIANTS or deviations not in DEVIATIONS:
        endings = "|".join(filter(None, DEVIATIONS))
        raise UserError(
            f"no config motionllm:{variant}{':' * bool(deviations)}{deviations}; there are: "
            f"{', '.join(f'motionllm:{name}[:{endings}]' for name in VARIANTS)}"
        )
    return DEVIATIONS[deviations](VARIANTS[variant]())


def base(hub: str, *, rows: int = 32, remat: str = "full", **sizes: Any) -> ConfigDict:
    """A published language model of some sizes on HumanML3D, for about as many samples as published.

    Nine tenths of packed rows are used by HumanML3D's clips and captions.
    """
    packed = {"rows": rows, "slots": {"tokens": 1024}, "clips": CLIPS, "samples": 18}
    shorter = rows // 32
    return ConfigDict(
        {
            # Which system the rest describes.
            "system": "motionllm",
            # Decides fresh parameters, the order of the data, and every draw.
            "seed": 0,
            "model": model(dtype="bfloat16", remat=remat, **sizes),
            # "train:SIZE" trains one of so many ids on the captions, "train:SIZE+procedural_pairs" on those of a made
            # source as well; else a folder or a hub name.
            "tokenizer": hub,
            # The language model, a folder or a hub name; it needs its own tokenizer. Empty for none: a stage trains it.
            "pretrained": hub,
            # A model whose trained parts the run starts from: a folder or a hub name. Empty for none.
            "start": "",
            "data": clips("humanml3d"),
            "layout": layout(),
            "pairs": pairs(),
            "mesh": mesh(),
            # The stages to train, in order; `pretrain` where no language model comes trained.
            "run": ("tokenizer", "pretrain", "t2m", "m2t"),
            "stages": {
                "tokenizer": tokenizer(150_000, rate=2e-4, rows=16, clips=((64, 16),), samples=16, window=64),
                "pretrain": pretrain(10_000 // shorter, rate=3e-4, **packed),
                "t2m": motions(26_000 // shorter, rate=2e-4, templates="instructions", subtasks=MOTIONS, **packed),
                "m2t": captions(3_000 // shorter, rate=2e-4, templates="instructions", subtasks=TEXTS, **packed),
            },
        }
    )


def model(*, dtype: str = "float32", ranks: tuple[int, int] = (64, 32), **sizes: Any) -> dict[str, Any]:
    """The published tokenizer of motion, a language model of some sizes, and two adapters."""
    return {
        "vqvae": vqvae(),
        "language": decoder(**sizes),
        # Chance of dropout in the language model, which comes trained without.
        "dropout": 0.0,
        # The same of its attention weights; above 0 no kernel computes the attention.
        "attention_dropout": 0.0,
        # In training: "auto" is "splash" on TPUs, "cudnn" on GPUs in half precision, else "reference".
        "attention": "auto",
        # Of the computation: "float32", "bfloat16" or "float16"; parameters are float32.
        "dtype": dtype,
        # In which the language model is held while it is frozen: "float32", or "bfloat16", as most are published, for
        # half the memory. Files are read straight into it.
        "base_dtype": dtype,
        # LoRA adapters of the language model by name, each as `sections.adapter` makes one.
        "lora": {
            # Makes motions.
            "t2m": adapter(ranks[0], EVERY, makes=("motion",)),
            # Writes captions.
            "m2t": adapter(ranks[1], EVERY, makes=("text",)),
        },
    }


def pairs() -> dict[str, Any]:
    """Whether there are two people, and how they are written."""
    return {
        # Whom the model knows: one person, or two as well (`:pair`).
        "persons": 1,
        # Codes of two people: "following", the first one's and then the second one's; or "interleaved" in time.
        "order": "following",
        # Whether the place of the second one comes once a second, against drift; else once, before its codes.
        "anchors": False,
    }


def decoder(*, width: int, layers: int, heads: int, **others: Any) -> dict[str, Any]:
    """A language model's section; `others` are the values of its family."""
    return {**language_model(width, layers, heads), "max_positions": 8192, "norm_eps": 1e-6, **others}


def tokenizer(steps: int, **options: Any) -> dict[str, Any]:
    """The stage of the motion tokenizer, with the distance of the paper; its other weights are those of T2M-GPT."""
    return stage("tokenizer", TOKENIZER, steps, distance="l1", **options)


def pretrain(steps: int, **options: Any) -> dict[str, Any]:
    """The stage that trains the language model on captions, half of them as answers."""
    options = {"templates": "text", "words_alone": 0.5, **options}
    return stage("language", BASE, steps, **options)


def motions(steps: int, **options: Any) -> dict[str, Any]:
    """The stage of the adapter `t2m` and of the rows of motions."""
    return stage("language", (LORA.format("t2m"), ROWS), steps, adapter="t2m", **options)


def captions(steps: int, **options: Any) -> dict[str, Any]:
    """The stage of the adapter `m2t` alone."""
    return stage("language", (LORA.format("m2t"),), steps, adapter="m2t", **options)


GEMMA = {"query_pre_attn_scalar": 256.0, "head_width": 256}


def gemma2_2b() -> ConfigDict:
    """Gemma 2 of 2 billion parameters, the published base."""
    return base(
        "google/gemma-2-2b-it",
        **{**GEMMA, "family": "gemma2", "width": 2304, "layers": 26, "heads": 8, "kv_heads": 4, "mlp_width": 9216},
        sliding_window=4096,
        sliding_window_pattern=2,
        attention_cap=50.0,
        logit_cap=30.0,
    )


def gemma3_1b() -> ConfigDict:
    """Gemma 3 of a billion parameters."""
    return base(
        "google/gemma-3-1b-it",
        **{**GEMMA, "family": "gemma3", "width": 1152, "layers": 26, "heads": 4, "kv_heads": 1, "mlp_width": 6912},
        rope_theta=1_000_000.0,
        rope_local_theta=10_000.0,
        sliding_window=512,
        sliding_window_pattern=6,
    )


def qwen3_0_6b() -> ConfigDict:
    """Qwen 3 of 0.6 billion parameters."""
    return base(
        "Qwen/Qwen3-0.6B",
        **{"family": "qwen3", "width": 1024, "layers": 28, "heads": 16, "kv_heads": 8, "mlp_width": 3072},
        head_width=128,
        rope_theta=1_000_000.0,
    )


def llama3_8b() -> ConfigDict:
    """Llama 3 of 8 billion parameters; for 64 chips, as v5e:8x8."""
    config = base(
        "meta-llama/Meta-Llama-3-8B",
        rows=64,
        **{"family": "llama", "width": 4096, "layers": 32, "heads": 32, "kv_heads": 8, "mlp_width": 14_336},
        norm_eps=1e-5,
        rope_theta=500_000.0,
        tied=False,
    )
    config.mesh.fsdp = 64
    return config


def tiny() -> ConfigDict:
    """A thousandth of the published size, on the embedded data, everything trained from the start."""
    rows = {"rows": 8, "slots": {"tokens": 512}, "clips": CLIPS, "samples": 10}
    config = _small(width=128, layers=4, vq_width=128, codes=256, ranks=(16, 8))
    config.tokenizer = "train:1024"
    config.stages = ConfigDict(
        {
            "tokenizer": tokenizer(20_000, rate=4e-4, rows=16, clips=((64, 4),), samples=4, window=64),
            "pretrain": pretrain(5000, rate=5e-4, **rows),
            "t2m": motions(20_000, rate=5e-4, templates="instructions", subtasks=MOTIONS, **rows),
            "m2t": captions(10_000, rate=5e-4, templates="instructions", subtasks=TEXTS, **rows),
        }
    )
    return config


def _small(*, width: int, layers: int, vq_width: int, codes: int, ranks: tuple[int, int]) -> ConfigDict:
    """A language model with Llama's blocks that no one has trained before, on the embedded data."""
    sizes = {"family": "llama", "width": width, "layers": layers, "heads": 4, "mlp_width": 2 * width}
    config = base("", remat="none", **sizes)
    with config.ignore_type():
        config.model = ConfigDict(model(ranks=ranks, remat="none", **sizes))
    config.model.vqvae.update({"width": vq_width, "code_width": vq_width, "codes": codes})
    config.model.language.max_positions = 1024
    config.data = ConfigDict(clips("procedural"))
    return config


def demo() -> ConfigDict:
    """Single actions of 2.4 seconds: minutes on two cores.

    Left and right are a small part of every gradient: Muon moves along rare directions as far as along common ones.
    """
    config = _small(width=128, layers=2, vq_width=96, codes=256, ranks=(32, 32))
    # Unrolled, two layers compile soon enough, and a step takes two thirds of the time.
    config.model.language.scan = False
    for name in config.model.lora:
        config.model.lora[name].dropout = 0.0
    config.data.update({"min_frames": 47, "max_frames": 47, "sequences": 0.0, "clips": 20_000, "crop": False})
    # A word about two people is one id then, for the model that `:pair` makes of this one.
    config.tokenizer = "train:768+procedural_pairs"
    config.layout.max_length = 64
    rows = {"rows": 4, "slots": {"tokens": 224}, "clips": ((48, 8),), "samples": 8}
    words = {**rows, "slots": {"tokens": 208}, "samples": 16}
    factors = {"muon": (r".*/lora/.*",)}
    config.stages = ConfigDict(
        {
            "tokenizer": stage(
                "tokenizer", TOKENIZER, 2200, rate=2e-3, rows=4, clips=((48, 8),), samples=8, muon=KERNELS
            ),
            "pretrain": pretrain(400, rate=2e-3, muon=KERNELS, **words),
            "t2m": motions(2200, rate=2e-3, templates="t2m_pretrain", **factors, **rows),
            "m2t": captions(1400, rate=2e-3, templates="m2t_pretrain", **factors, **rows),
        }
    )
    for part in config.stages.values():
        part.update({"evaluate_every": 600, "checkpoint_every": 600, "sample_every": 0})
    with config.ignore_type():
        config.stages.tokenizer.optimizer.update({"warmup_steps": 50})
    return config


def test() -> ConfigDict:
    """The smallest that runs: a few steps of every stage in seconds."""
    config = demo()
    sizes = {"family": "llama", "width": 32, "layers": 1, "heads": 4, "mlp_width": 64}
    with config.ignore_type():
        config.model = ConfigDict(model(ranks=(4, 2), remat="none", **sizes))
    config.model.vqvae.update({"width": 32, "code_width": 32, "codes": 16, "depth": 2})
    config.model.language.update({"max_positions": 256, "scan": False})
    for name in config.model.lora:
        config.model.lora[name].dropout = 0.0
    config.data.update({"clips": 64, "codes": "online"})
    config.tokenizer = "train:300"
    for part in config.stages.values():
        part.steps = 2
        part.batch.rows = 2
        part.update({"log_every": 1, "evaluate_every": 2, "checkpoint_every": 2, "validation_batches": 1})
        part.sample_every = 0
        part.optimizer.warmup_steps = 0
    config.stages.t2m.sample_every = 2
    return config


PAIRS = (("t2p", 1.0), ("p2t", 0.5), ("react", 0.2), ("react_alone", 0.1))
"""What the adapter of two people learns, and how often a clip is shown so."""


def pair(config: ConfigDict) -> ConfigDict:
    """Two people, from a model of one."""
    small = config.data.source == "procedural"
    source, longest, question = ("procedural_pairs", 96, 56) if small else ("interhuman", 200, 128)
    config.pairs.persons = 2
    config.data.update({"source": source, "min_frames": LEAST_FRAMES[source], "max_frames": longest, "crop": False})
    # Four frames a code, two people, and what stands between them.
    config.layout.max_length = longest // 2 + question
    one, t2m = config.model.lora.t2m, config.stages.t2m
    rows = {"rows": t2m.batch.rows, "samples": t2m.batch.samples, "clips": ((longest, 2 * t2m.batch.samples),)}
    slots = {"tokens": max(t2m.batch.slots.tokens, 3 * config.layout.max_length)}
    with config.ignore_type():
        both = adapter(2 * one.rank, one.targets, dropout=one.dropout, makes=("pair", "pair_text"))
        config.model.lora.inter = ConfigDict(both)
        config.stages.pair = ConfigDict(
            stage(
                "language",
                (LORA.format("inter"), LATER, *((ROWS,) * small)),
                6 * t2m.steps // 5 if small else t2m.steps // 2,
                # Muon learns two people better at twice the rate; plain AdamW was not tried.
                rate=(2 if t2m.optimizer.muon else 1) * t2m.optimizer.learning_rate,
                muon=t2m.optimizer.muon,
                templates="pairs",
                subtasks=PAIRS,
                adapter="inter",
                slots=slots,
                **rows,
            )
        )
        for name in ("log_every", "evaluate_every", "checkpoint_every", "sample_every", "validation_batches"):
            config.stages.pair[name] = t2m[name]
        config.stages.pair.optimizer.warmup_steps = t2m.optimizer.warmup_steps
    if small:
        # They take three times as long to make as clips of one person.
        config.data.clips = min(config.data.clips, 8000)
        config.stages.tokenizer.steps = -(-config.stages.tokenizer.steps // 2)
        config.stages.tokenizer.batch.window = min(48, config.stages.tokenizer.batch.clips[-1][0])
        # A language model of so few captions knows no word about two people: it reads theirs first.
        config.stages.pretrain.batch.update({"slots": slots, "clips": rows["clips"]})
        config.run = ("tokenizer", "pretrain", "pair")
        return config
    # The others are not run again: what they taught is still asked for in their words.
    config.run = (*(name for name in config.run if name in config.model.lora), "pair")
    for name in config.run:
        batch = config.stages[name].batch
        batch.clips = ((longest, sum(count for _, count in batch.clips)),)
    return config


def official(config: ConfigDict) -> ConfigDict:
    """Every deviation from the published code switched off: one sample becomes one row."""
    config.layout.update({"official": True, "max_length": 200})
    config.model.vqvae.permute = False
    config.model.update({"dtype": "float32", "base_dtype": "float32"})
    config.data.update({"codes": "online", "crop": True})
    longest = config.data.max_frames
    with config.ignore_type():
        config.model.language.attention_cap = None
    for name, part in config.stages.items():
        with config.ignore_type():
            part.optimizer.update({"clip_norm": None, "warmup_steps": 0, "schedule": "constant", "muon": ()})
        if part.loss == "tokenizer":
            window = min(64, longest)
            # What the published code does unless it is told otherwise; its paper has the weights of `base`.
            part.batch.update({"rows": 128, "clips": ((window, 1),), "samples": 1, "window": window})
            part.objective.update({"distance": "l2", "positions": 0.1})
            part.optimizer.update({"weight_decay": 0.01, "warmup_steps": min(1000, part.steps)})
            continue
        part.batch.update({"rows": 6, "clips": ((longest, 1),), "samples": 1})
        part.batch.slots.tokens = config.layout.max_length
        part.subtasks = ()
        if name in config.model.lora:
            # The rows of motions stay as they begin.
            part.update({"templates": "alpaca", "trainable": (LORA.format(name),), "subtasks": ((name, 1.0),)})
            part.optimizer.update({"learning_rate": 1e-5, "final_learning_rate": 1e-6, "b2": 0.999})
    return config


VARIANTS: Mapping[str, Callable[[], ConfigDict]] = {
    "gemma2_2b": gemma2_2b,
    "gemma3_1b": gemma3_1b,
    "qwen3_0_6b": qwen3_0_6b,
    "llama3_8b": llama3_8b,
    "tiny": tiny,
    "demo": demo,
    "test": test,
}

DEVIATIONS: Mapping[str, Callable[[ConfigDict], ConfigDict]] = {
    "": lambda config: config,
    "pair": pair,
    "official": official,
}
"""What may stand behind a variant."""
