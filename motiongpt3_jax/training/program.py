"""The jitted train and evaluation steps of a stage on a mesh, with shardings of everything that goes in and out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
from jax.sharding import Mesh

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.parallel import SHARDING, ShardingOptions, replicated, rows_sharding
from motiongpt3_jax.systems.interface import System, Tree, Variables
from motiongpt3_jax.training.arrays import rules_of, with_shardings
from motiongpt3_jax.training.optimizers import make_optimizer
from motiongpt3_jax.training.partition import cast, check, paths_of, split
from motiongpt3_jax.training.stage import Stage
from motiongpt3_jax.training.state import TrainState, new_state, stage_key
from motiongpt3_jax.training.step import EvaluateStep, TrainStep, make_evaluate_step, make_train_step, report_names


@dataclass(frozen=True)
class Program:
    """The jitted functions of one stage on one mesh.

    Attributes:
      start: variables -> (state before the first step, frozen parameters), sharded.
      cast_frozen: frozen parameters as they are stored -> in the dtypes that steps take them in, as `start` gives them.
      step: the train step, jitted; it consumes the state that it is given.
      evaluate: the validation step, jitted.
      state: shapes and shardings of the train state.
      frozen: shapes and shardings of the frozen parameters as they are stored.
    """

    start: Callable[[Variables], tuple[TrainState, Tree]]
    cast_frozen: Callable[[Tree], Tree]
    step: TrainStep
    evaluate: EvaluateStep
    state: TrainState
    frozen: Tree


def make_program(
    system: System,
    stage: Stage,
    mesh: Mesh,
    seed: int,
    variables: Variables,
    batch: Batch,
    sharding: ShardingOptions = SHARDING,
) -> Program:
    """Builds the jitted steps of a stage; nothing is compiled before it is called.

    Args:
      system: the system.
      stage: the stage.
      mesh: the devices.
      seed: the run's seed.
      variables: the system's variables, or their shapes.
      batch: a global batch, or its shapes.
      sharding: how the mesh is used.
    """
    check_dtypes(system, variables)
    names = report_names(system, stage, variables, batch)
    optimizer, dtypes = make_optimizer(stage.optimizer, stage.steps), system.dtypes

    def start(variables: Variables) -> tuple[TrainState, Tree]:
        trainable, frozen = split(variables.params, stage.trainable)
        key, ema = stage_key(seed, stage.name), stage.optimizer.ema is not None
        return new_state(trainable, variables.state, optimizer, ema, key, names), cast(frozen, dtypes)

    rules = rules_of(system, variables, sharding)
    state = with_shardings(mesh, jax.eval_shape(start, variables)[0], rules)
    frozen = with_shardings(mesh, split(variables.params, stage.trainable)[1], rules)
    state_at, frozen_at = jax.tree.map(lambda x: x.sharding, (state, frozen))
    rows, everywhere = rows_sharding(mesh), replicated(mesh)
    return Program(
        start=jax.jit(start, out_shardings=(state_at, frozen_at)),
        cast_frozen=jax.jit(partial(cast, dtypes=dtypes), out_shardings=frozen_at) if dtypes else lambda frozen: frozen,
        step=jax.jit(
            make_train_step(system, stage),
            in_shardings=(state_at, frozen_at, rows),
            out_shardings=(state_at, everywhere),
            donate_argnums=0,
        ),
        evaluate=jax.jit(
            make_evaluate_step(system, stage),
            in_shardings=(state_at.params, frozen_at, state_at.state, everywhere, rows),
            out_shardings=everywhere,
        ),
        state=state,
        frozen=frozen,
    )


def check_dtypes(system: System, variables: Variables) -> None:
    """Raises UserError when a pattern of the system's `dtypes` matches no parameter."""
    if system.dtypes:
        check(sorted(paths_of(variables.params)), [pattern for pattern, _ in system.dtypes])
