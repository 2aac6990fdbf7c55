"""Loss and gradients of a system's stages on one device and on meshes of eight, as JSON: how far they differ.

python -m tests.parallel.same_gradients motiongpt3 FOLDER STAGE... -- 2x2x2 8x1x1 -- model.decoder.family=llama
"""

import json
import math
import sys
from dataclasses import replace

import jax
import numpy as np

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.experiment.run import Run, make_run
from motiongpt3_jax.inference.engine import make_system
from motiongpt3_jax.parallel import (
    ShardingOptions,
    constrain,
    make_mesh,
    put_batch,
    replicated,
    rows_sharding,
    sharding,
)
from motiongpt3_jax.parallel.sharding import path_name
from motiongpt3_jax.systems.interface import System, Tree, Variables
from motiongpt3_jax.training import Stage
from motiongpt3_jax.training.arrays import rules_of, with_shardings
from motiongpt3_jax.training.partition import merge, paths_of, split
from motiongpt3_jax.training.step import weighted_total

ROWS = 8
NOTHING = 1e-4
"""A gradient that is shorter than this share of all together may be rounding alone, as that of keys' biases is."""

SPLIT = ShardingOptions(whole_below=0, reduce_dtype="compute")


def prepare(name: str, folder: str, overrides: list[str]) -> Run:
    """A run of the smallest config, without dropout, its rows divisible by eight."""
    config = load_config(f"{name}:test", ["data.clips=32", "model.dropout=0.0", *overrides])
    for stage in config.stages.values():
        stage.batch.rows = ROWS
    return make_run(config, folder)


def loss_and_gradients(
    run: Run, stage: Stage, batch: Batch, variables: Variables, axes: tuple[int, ...]
) -> tuple[float, dict[str, np.ndarray]]:
    """The loss of a stage, and the gradients that the train step computes, by their paths."""
    mesh = make_mesh(*axes, devices=jax.devices()[: math.prod(axes)])
    system = make_system(run.folder, constrain if math.prod(axes) > 1 else None)
    trainable, frozen = split(variables.params, stage.trainable)

    def total(trainable: Tree, frozen: Tree, batch: Batch) -> jax.Array:
        draws = system.draw(jax.random.key(2), batch, True)
        every = Variables(merge(trainable, frozen), variables.state, frozenset(paths_of(frozen)))
        terms = system.losses[stage.loss](every, batch, draws, stage.objective)
        return weighted_total(terms.sums, terms.counts, stage)

    with jax.set_mesh(mesh):
        parts = [with_shardings(mesh, part, rules_of(system, variables, SPLIT)) for part in (trainable, frozen)]
        at = [jax.tree.map(lambda x: x.sharding, part) for part in parts]
        both = jax.jit(
            jax.value_and_grad(total), in_shardings=(*at, rows_sharding(mesh)), out_shardings=(replicated(mesh), at[0])
        )
        loss, gradients = both(trainable, frozen, put_batch(mesh, batch))
    flat = jax.tree.leaves_with_path(jax.device_get(gradients))
    return float(loss), {path_name(path): np.asarray(x, np.float64) for path, x in flat}


def main() -> None:
    """Prints, by stage and mesh: relative distance of the loss; the largest of a gradient from its norm, and whose."""
    sharding.SMALL = 64  # the arrays of the smallest config are split too
    name, folder, *rest = sys.argv[1:]
    stages, meshes, overrides = split_words(rest)
    run, result = prepare(name, folder, overrides), {}
    for stage in (stage for stage in run.stages() if stage.name in stages):
        stage = replace(stage, objective=without_dropout(stage.objective))
        batch = run.data(stage).batch(0)
        variables = drawn(make_system(run.folder))
        loss, gradients = loss_and_gradients(run, stage, batch, variables, (1, 1, 1))
        least = NOTHING * np.sqrt(sum(np.sum(x**2) for x in gradients.values()))
        for mesh in meshes:
            axes = tuple(map(int, mesh.split("x")))
            other_loss, others = loss_and_gradients(run, stage, batch, variables, axes)
            assert others.keys() == gradients.keys()
            far = {
                path: float(np.linalg.norm(others[path] - x) / max(np.linalg.norm(x), least))
                for path, x in gradients.items()
            }
            worst = max(far, key=far.__getitem__)
            result[f"{stage.name} {mesh}"] = {
                "loss": abs(other_loss - loss) / abs(loss),
                "gradient": far[worst],
                "of": worst,
            }
    print(json.dumps(result))


def drawn(system: System) -> Variables:
    """Parameters that all matter, LoRA's factors B too, drawn by NumPy: the program of `init` takes long to compile."""
    rng, shapes = np.random.default_rng(1), system.shapes

    def draw(path: tuple[object, ...], x: jax.ShapeDtypeStruct) -> np.ndarray:
        one = path_name(path).endswith("scale")
        return (one + rng.normal(size=x.shape, scale=0.1)).astype(x.dtype)

    state = jax.jit(lambda key: system.init(key).state)(jax.random.key(1))
    return Variables(jax.tree.map_with_path(draw, shapes.params), state)


def split_words(words: list[str]) -> list[list[str]]:
    """The words between each two of `--`: stages, meshes, and overrides of the config."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "--":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def without_dropout(objective: object) -> object:
    """The objective with dropout off, where it has such a switch."""
    return replace(objective, dropout=False) if hasattr(objective, "dropout") else objective


if __name__ == "__main__":
    main()
