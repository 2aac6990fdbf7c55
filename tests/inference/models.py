"""A small model with random weights: everything that a model's folder needs, without training."""

from pathlib import Path

import jax
import numpy as np

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.inference.engine import make_system
from motiongpt3_jax.inference.exported import write_exported
from motiongpt3_jax.inference.folder import ModelFolder, MotionStatistics, plain
from motiongpt3_jax.motion import HUMANML3D
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3Config
from motiongpt3_jax.systems.motiongpt3.prompts import TOKEN_SPEC
from motiongpt3_jax.text import train_tokenizer


def random_body() -> MotionStatistics:
    """Random statistics of HumanML3D's features."""
    rng = np.random.default_rng(0)
    count = HUMANML3D.features
    return MotionStatistics(
        mean=rng.normal(size=count).astype(np.float32),
        std=rng.uniform(0.5, 2, count).astype(np.float32),
        offsets=HUMANML3D.offsets(rng.normal(size=(22, 3)).astype(np.float32)),
    )


def model_folder(*overrides: str, untrained: tuple[str, ...] = (), body: MotionStatistics | None = None) -> ModelFolder:
    """What the folder of a model of the smallest config says; it lies nowhere."""
    body = body or random_body()
    config = plain(load_config("motiongpt3:test", overrides).to_dict())
    return ModelFolder(Path("nowhere"), config, train_tokenizer(["a person walks"], 257, TOKEN_SPEC), body, untrained)


def random_variables(folder: ModelFolder, seed: int = 0) -> tuple[MotionGPT3Config, Variables]:
    """The sizes of a folder's model, and random numbers for all of its arrays; moments are those of a measured VAE."""
    system, rng = make_system(folder), np.random.default_rng(seed)
    shapes = jax.eval_shape(system.init, jax.random.key(0))
    params = jax.tree.map(lambda x: rng.normal(size=x.shape, scale=0.2).astype(np.float32), shapes.params)
    mean = rng.normal(size=shapes.state["latent_mean"].shape).astype(np.float32)
    spread = rng.uniform(0.5, 2, mean.shape).astype(np.float32)
    return system.config, Variables(params, {"latent_mean": mean, "latent_square": spread**2 + mean**2})


def exported_model(
    out: Path, *overrides: str, untrained: tuple[str, ...] = (), body: MotionStatistics | None = None
) -> tuple[ModelFolder, Variables]:
    """An exported model with random weights, of stage "tune" at step 7."""
    folder = model_folder(*overrides, untrained=untrained, body=body)
    _, variables = random_variables(folder)
    return write_exported(out, folder, variables, ("tune", 7)), variables
