"""Sections that the configs of all systems have: data, mesh, stages and their optimizer, each value with its comment.

These are the only defaults of a run: the dataclasses that they become have none. What a source of clips is asked for
and how a mesh is used have theirs in `SourceOptions` and `SHARDING`, for both are needed without a config too.
"""

import copy
from collections.abc import Mapping
from typing import Any

from motiongpt3_jax.data_pipelines.sources import LEAST_FRAMES, SourceOptions
from motiongpt3_jax.parallel import SHARDING

SOURCE = SourceOptions()


def data(source: str, **options: Any) -> dict[str, Any]:
    """Where the clips come from, and how they are read."""
    return {
        # What is built where no built clips are named: "procedural" or "procedural_pairs" (made here, of one person and
        # of two), or "humanml3d", "kit_ml" or "interhuman" (read from `path`).
        "source": source,
        # A folder of one of these, or one that `motiongpt3 data build` wrote; empty where they are made.
        "path": SOURCE.path,
        # Frames of the shortest clip, as features; another source that is set later brings its own.
        "min_frames": LEAST_FRAMES[source],
        # Frames of the longest clip, included.
        "max_frames": SOURCE.max_frames,
        # At a broken file of such a folder: "stop", or "skip" it and record that.
        "on_bad": SOURCE.on_bad,
        # Clips that are made, all splits together.
        "clips": SOURCE.clips,
        # Share of the `procedural` clips in which one action follows another.
        "sequences": SOURCE.sequences,
        # Whether every epoch has an order of its own; False keeps that of the clips.
        "shuffle": True,
        # Whether a third of the visits see the clip cut to a multiple of four frames.
        "crop": True,
        # Processes that load batches; 0 loads in a thread of the training process. -1 takes half of the cores, and up
        # to 16, if there are eight or more and an accelerator trains.
        "workers": -1,
        # Training samples that never come, as the message of a loss that is not finite names them: "CLIP (SUB-TASK)",
        # or "CLIP" for all of a clip's. All others come when they did; a run may be continued with other names.
        "leave_out": (),
        **options,
    }


def mesh() -> dict[str, Any]:
    """How the devices are laid out; the product of the axes is their number."""
    return {
        # Devices along which a batch is split; -1 takes all that the other axes leave.
        "data": -1,
        # Devices over which parameters and optimizer state are split, gathered where they are used; splits batches too.
        "fsdp": 1,
        # Devices over which the heads and the MLPs of each layer are split.
        "tensor": 1,
        # What `rows` of a stage's batch counts: all of them ("total"), or those of each of data x fsdp devices
        # ("per_shard"), and then more devices take larger batches.
        "rows": "total",
        # `fsdp` does not split parts of the model (as the VAE) with fewer parameters than this: they lie whole on every
        # device, for to gather them would take longer than it spares memory.
        "whole_below": SHARDING.whole_below,
        # In which gradients are summed over devices: "compute" (as `model.dtype`), "float32" or "bfloat16". From some
        # 256 devices on float32 is safer, and twice the bytes.
        "reduce_dtype": SHARDING.reduce_dtype,
        # Seconds in which no step ends after which one of several processes leaves, as a peer of it hangs; compiling,
        # validation, saving and pages of samples do not count. 0 waits without end.
        "step_timeout": 600.0,
    }


def optimizer(rate: float, **options: Any) -> dict[str, Any]:
    """The update rule of a stage, and what surrounds it."""
    return {
        # Peak learning rate.
        "learning_rate": rate,
        # (path pattern, factor on the learning rate); the first that matches a parameter's whole path counts.
        "groups": (),
        # AdamW's decay of the gradients' mean.
        "b1": 0.9,
        # AdamW's decay of the gradients' square: .99 in every measured recipe. Adam's usual .999 averages over a
        # thousand steps, which some stages do not have.
        "b2": 0.99,
        # AdamW's smallest divisor.
        "eps": 1e-8,
        # Decoupled weight decay, of AdamW and of Muon.
        "weight_decay": 0.0,
        # Path patterns of the matrices that Muon updates; AdamW has all others.
        "muon": (),
        # (pattern, dtype) of what AdamW and Muon remember: "mu/PATH" is the mean of a parameter's gradients, "nu/PATH"
        # that of their squares, which Muon has not; the first that matches counts, others are "float32".
        # ((".*", "bfloat16"),) halves their memory: they are rounded up or down by chance, so that means stay.
        "moments": (),
        # Longest global norm of the gradients; None leaves them as they are.
        "clip_norm": 1.0,
        # Steps in which the rate rises linearly; None is a twentieth of the stage, and 1,000 at most.
        "warmup_steps": None,
        # "cosine" falls to the final learning rate at the stage's last step; "constant" stays at the peak.
        "schedule": "cosine",
        # Where the cosine ends.
        "final_learning_rate": 0.1 * rate,
        # Micro-batches that each batch is computed in; changes memory, not results.
        "accumulate": 1,
        # Decay of the moving average of the parameters, which validation and inference then use; None keeps none.
        "ema": None,
        **options,
    }


def adapter(rank: int, targets: tuple[str, ...], **options: Any) -> dict[str, Any]:
    """One LoRA adapter of `model.lora`; a stage trains it whose `trainable` has ".*/lora/NAME/.*"."""
    return {
        # Of the product that it adds to each kernel; (inputs + outputs) times so many parameters for each.
        "rank": rank,
        # `alpha / rank` is the factor of that product.
        "alpha": float(rank),
        # Chance of a zero in its input in training.
        "dropout": 0.1,
        # Patterns of the projections that it adapts, each of the whole STREAM/PROJECTION: streams are `text` and
        # `motion`, of a T5 `source` and `target`, of a GPT-2 alone `tokens`; projections are `q`, `k`, `v`, `o`,
        # `gate`, `up`, `down`, in a T5's target also `cross/q` and so on.
        "targets": targets,
        # What a loaded model uses it for: making "motion", "text", or both.
        "makes": ("motion", "text"),
        **options,
    }


def stage(
    loss: str,
    objective: Mapping[str, Any],
    trainable: tuple[str, ...],
    steps: int,
    optimizer: Mapping[str, Any],
    batch: Mapping[str, Any],
    templates: str = "",
    subtasks: tuple[tuple[str, float], ...] = (),
) -> dict[str, Any]:
    """One stage of training."""
    return {
        # Which of the system's losses.
        "loss": loss,
        # Weights and switches of the loss, as the system defines them.
        "objective": dict(objective),
        # Path patterns of the parameters that train; all others stay as the stage before left them.
        "trainable": trainable,
        # Updates in all.
        "steps": steps,
        # The update rule.
        "optimizer": dict(optimizer),
        # Rows of a batch (`rows`), and how much a row holds, as the system defines it.
        # Its own, or a flag for one stage would change others.
        "batch": copy.deepcopy(dict(batch)),
        # Instruction templates: a name, or a JSON file; empty for a loss that reads no text.
        "templates": templates,
        # (sub-task, chance of a visit per clip and epoch); none is every sub-task of the templates, each for sure.
        "subtasks": subtasks,
        # Steps between reports.
        "log_every": min(50, steps),
        # Steps between validations; 0 validates at the end alone.
        "evaluate_every": max(steps // 20, 1),
        # Steps between checkpoints.
        "checkpoint_every": max(steps // 50, 1),
        # How many of the last checkpoints stay, besides the best.
        "keep": 2,
        # Checkpoints at multiples of this stay for good; 0 keeps none of them.
        "keep_every": 0,
        # The validation number whose lowest value marks the best checkpoint: "loss", or a term of it that has a weight,
        # such as "loss/text".
        "best": "loss",
        # Steps between pages of sample motions; 0 writes none.
        "sample_every": max(steps // 10, 1),
        # Batches of each validation.
        "validation_batches": 4,
    }
