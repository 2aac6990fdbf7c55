"""Configuration of a training stage and its optimizer: a loss, what it trains, how, and for how long."""

from dataclasses import dataclass
from typing import Literal

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.interface import Objective
from motiongpt3_jax.values import PATTERN, none_or, one_of, pair_of, real, sequence_of, setting, whole

MOST_WARMUP = 1000
"""Most steps of a warmup whose length is not given."""


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW or Muon, with its learning rate schedule, clipping and averaging: `configs/sections.py` has the defaults.

    Attributes:
      learning_rate: peak rate.
      groups: (path pattern, factor on the rate); the first pattern that matches a whole path counts, others have 1.
      b1, b2, eps, weight_decay: AdamW's; the decay is Muon's as well.
      muon: path patterns of the matrices that Muon updates; AdamW has all others.
      moments: (pattern of "mu/PATH" or "nu/PATH", dtype) of the means of gradients and of their squares; the first
        pattern that matches counts, others are float32. bfloat16 is rounded stochastically.
      clip_norm: longest global gradient norm; None leaves gradients as they are.
      warmup_steps: steps in which the rate rises linearly; the first step already moves. None is a twentieth of the
        stage's steps, and 1,000 at most.
      schedule: "constant", or "cosine" down to `final_learning_rate` at the stage's last step.
      final_learning_rate: where the cosine ends.
      accumulate: micro-batches that each batch is computed in; changes memory, not results.
      ema: decay of the parameters' moving average, which validation and inference then use; None keeps none.
    """

    learning_rate: float = setting(real(0, 1e3))
    groups: tuple[tuple[str, float], ...] = setting(sequence_of(pair_of(PATTERN, real(0, 1e6))))
    b1: float = setting(real(0, 1, below=True))
    b2: float = setting(real(0, 1, below=True))
    eps: float = setting(real(0, 1, above=True))
    weight_decay: float = setting(real(0, 1e3))
    muon: tuple[str, ...] = setting(sequence_of(PATTERN))
    moments: tuple[tuple[str, str], ...] = setting(sequence_of(pair_of(PATTERN, one_of("float32", "bfloat16"))))
    clip_norm: float | None = setting(none_or(real(0, 1e9, above=True)))
    warmup_steps: int | None = setting(none_or(whole(0, 10**9)))
    schedule: Literal["constant", "cosine"] = setting(one_of("constant", "cosine"))
    final_learning_rate: float = setting(real(0, 1e3))
    accumulate: int = setting(whole(1, 10**6))
    ema: float | None = setting(none_or(real(0, 1, below=True)))

    def warmup(self, steps: int) -> int:
        """Steps of the warmup in a stage of so many."""
        return min(MOST_WARMUP, steps // 20) if self.warmup_steps is None else self.warmup_steps

    def __post_init__(self) -> None:
        if self.schedule not in ("constant", "cosine"):
            raise UserError(f"unknown schedule '{self.schedule}'; choose 'constant' or 'cosine'.")
        if self.accumulate < 1:
            raise UserError(f"accumulate is {self.accumulate}; it counts micro-batches, so it is at least 1.")


@dataclass(frozen=True)
class Stage:
    """One stage of a run. It starts with the parameters with which the one before ended.

    Attributes:
      name: names its folder of checkpoints.
      loss: key of `System.losses`.
      objective: weights and switches of the loss; hashable.
      trainable: path patterns ('decoder/layers/motion/.*'); a parameter trains when one matches its whole path.
      optimizer: how.
      steps: parameter updates in all.
      log_every: steps between reports.
      evaluate_every: steps between validations; 0 only validates at the end.
      checkpoint_every: steps between checkpoints; the last step, an interruption and a new best always get one.
      sample_every: steps between calls of the samples hook; 0 never calls it.
      keep: how many of the last checkpoints stay, besides the best.
      keep_every: checkpoints at multiples of this stay for good; 0 keeps none of them.
      best: validation number whose lowest value marks the best checkpoint.
    """

    name: str
    loss: str
    objective: Objective
    trainable: tuple[str, ...]
    steps: int
    optimizer: OptimizerConfig
    log_every: int
    evaluate_every: int
    checkpoint_every: int
    sample_every: int
    keep: int
    keep_every: int
    best: str

    def __post_init__(self) -> None:
        for number in ("steps", "log_every", "checkpoint_every", "keep"):
            if getattr(self, number) < 1:
                raise UserError(f"stage '{self.name}': {number} is {getattr(self, number)}; it must be at least 1.")
        if "/" in self.name or not self.name:
            raise UserError(f"stage name '{self.name}' cannot name a folder; choose one without '/'.")
