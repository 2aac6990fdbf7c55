"""A regression with everything that a real system has: draws, terms, metrics, moving state, and two stages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.models import DECODER_RULES
from motiongpt3_jax.parallel import local_rows
from motiongpt3_jax.systems.interface import System, Terms, Tree, Variables
from motiongpt3_jax.training import OptimizerConfig, Stage

FEATURES, WIDTH = 3, 8


@dataclass(frozen=True)
class Weights:
    fit: float = 1.0
    small: float = 0.01

    @property
    def term_weights(self) -> Mapping[str, float]:
        return {"fit": self.fit, "small": self.small}


@dataclass(frozen=True)
class ToySystem(System):
    """Fits sums of squares of noisy frames with one hidden layer; frames of a clip count, padding does not."""

    poison: int = -1  # a sample whose loss is not a number

    sharding_rules = DECODER_RULES

    @property
    def losses(self) -> Mapping[str, object]:
        return {"fit": self.fit}

    def init(self, rng: jax.Array) -> Variables:
        keys = jax.random.split(rng, 2)
        up = jax.random.normal(keys[0], (1, FEATURES, WIDTH))
        down = 0.1 * jax.random.normal(keys[1], (1, WIDTH, 1))
        layers = {"text": {"up": {"kernel": up}, "down": {"kernel": down}}}
        return Variables({"body": {"layers": layers}, "head": {"bias": jnp.zeros(1)}}, {"mean": jnp.zeros(())})

    def draw(self, key: jax.Array, batch: Batch, train: bool) -> Tree:
        def noise(seed: jax.Array) -> jax.Array:
            return jax.random.normal(jax.random.fold_in(key, seed), batch.clips[0].shape[2:]) * (0.1 if train else 0.0)

        return {"noise": jax.vmap(jax.vmap(noise))(batch.clip_seeds)}

    def fit(self, variables: Variables, batch: Batch, draws: Tree, objective: Weights) -> Terms:
        layer = jax.tree.map(lambda x: x[0], variables.params["body"]["layers"]["text"])
        x = batch.clips[0] + draws["noise"]
        valid = jnp.arange(x.shape[2]) < batch.clip_frames[:, :, None]
        y = (jnp.tanh(x @ layer["up"]["kernel"]) @ layer["down"]["kernel"])[..., 0] + variables.params["head"]["bias"]
        error = jnp.square(y - jnp.square(batch.clips[0]).sum(-1)) * valid
        error = jnp.where((batch.samples == self.poison)[:, :1, None], jnp.nan, error)
        frames = valid.sum().astype(jnp.float32)
        return Terms(
            sums={"fit": error.sum(), "small": (jnp.square(y) * valid).sum()},
            counts={"fit": frames, "small": jnp.float32(x.shape[0])},
            metrics={"far": ((error > 1.0).sum(), frames)},
            state_sums={"mean": jnp.where(valid, y, 0).sum(), "frames": frames},
        )

    def advance(self, state: Tree, sums: Tree) -> Tree:
        return {"mean": 0.9 * state["mean"] + 0.1 * sums["mean"] / jnp.maximum(sums["frames"], 1)}


@dataclass(frozen=True)
class ToyData:
    rows: int = 4  # of the global batch
    frames: int = 6
    mesh: jax.sharding.Mesh | None = None  # gives this process its rows; all of them when not given
    order: int = 1

    def batch(self, step: int) -> Batch:
        batch = self.global_batch(step)
        if self.mesh is None:
            return batch
        here = local_rows(self.mesh, self.rows)
        return jax.tree.map(lambda x: x[here], batch)

    def global_batch(self, step: int) -> Batch:
        draws = np.random.default_rng(step)
        shape = (self.rows, 1)
        numbers = np.arange(step * self.rows, (step + 1) * self.rows).reshape(shape)
        return Batch(
            streams={},
            clips=(draws.normal(size=(*shape, self.frames, FEATURES)).astype(np.float32),),
            clip_frames=draws.integers(1, self.frames + 1, shape).astype(np.int32),
            clip_seeds=numbers.astype(np.uint32),
            samples=numbers.astype(np.int32),
        )

    def batches(self, start_step: int) -> Iterator[Batch]:
        while True:
            yield self.batch(start_step)
            start_step += 1

    def validation(self) -> list[Batch]:
        return [self.batch(10**6), self.batch(10**6 + 1)]

    def describe(self, numbers: Sequence[int]) -> list[str]:
        return [f"toy{number}" for number in numbers]

    def useful(self, batch: Batch) -> dict[str, float]:
        frames = float(batch.clip_frames.sum())
        return {
            "samples": float(batch.clips[0].shape[0]),
            "tokens": frames,
            "frames_used": frames / batch.clips[0][..., 0].size,
        }


def adamw(**changes: object) -> OptimizerConfig:
    """Plain AdamW at a constant rate, with these changes."""
    off = {
        "groups": (),
        "weight_decay": 0.0,
        "muon": (),
        "moments": (),
        "clip_norm": None,
        "accumulate": 1,
        "ema": None,
    }
    rate = {"learning_rate": 1e-4, "warmup_steps": 0, "schedule": "constant", "final_learning_rate": 0.0}
    return OptimizerConfig(**{"b1": 0.9, "b2": 0.999, "eps": 1e-8, **off, **rate, **changes})


def stage(name: str = "first", **changes: object) -> Stage:
    settings = {"name": name, "loss": "fit", "objective": Weights(), "trainable": (".*",), "steps": 20}
    settings |= {"log_every": 5, "evaluate_every": 10, "checkpoint_every": 5, "sample_every": 0}
    settings |= {"keep": 2, "keep_every": 0, "best": "loss"}
    settings |= {"optimizer": adamw(learning_rate=1e-2, schedule="cosine", warmup_steps=3, ema=0.9)}
    return Stage(**{**settings, **changes})


def two_stages(steps: int = 20) -> list[Stage]:
    """Two update rules, so that runs of both continue, split and recover alike."""
    muon = adamw(learning_rate=1e-2, muon=("body/.*kernel",), schedule="cosine", warmup_steps=3, ema=0.9)
    return [stage("first", trainable=("body/.*",), steps=steps), stage("second", optimizer=muon, steps=steps)]
