"""The jitted train and evaluation steps of a stage on a mesh, with shardings of everything that goes in and out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
from jax.sharding import Mesh

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.parallel import SHARDING, ShardingOptions, compiler_options, replicated, rows_sharding
from motiongpt3_jax.systems.interface import System, Tree, Variables
from motiongpt3_jax.training.arrays import cast_like, rules_of, with_shardings
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
      cast_frozen: frozen parameters as they were read -> as steps take them; those that are so already are not copied.
      step: the train step, jitted; it consumes the state that it is given.
      evaluate: the validation step, jitted.
      state: shapes and shardings of the train state.
      frozen: the same of the frozen parameters as steps take them, in the dtypes of `System.dtypes`.
      stored: the same of the frozen parameters as checkpoints hold them.
    """

    start: Callable[[Variables], tuple[TrainState, Tree]]
    cast_frozen: Callable[[Tree], Tree]
    step: TrainStep
    evaluate: EvaluateStep
    state: TrainState
    frozen: Tree
    stored: Tree


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
    optimizer, ema = make_optimizer(stage.optimizer, stage.steps), stage.optimizer.ema is not None

    def first_state(trainable: Tree, moving: Tree) -> TrainState:
        return new_state(trainable, moving, optimizer, ema, stage_key(seed, stage.name), names)

    rules = rules_of(system, variables, sharding)
    trainable, stored = split(variables.params, stage.trainable)
    state = with_shardings(mesh, jax.eval_shape(first_state, trainable, variables.state), rules)
    stored = with_shardings(mesh, stored, rules)
    frozen = with_shardings(mesh, jax.eval_shape(partial(cast, dtypes=system.dtypes), stored), rules)
    state_at, frozen_at = jax.tree.map(lambda x: x.sharding, (state, frozen))
    rows, everywhere = rows_sharding(mesh), replicated(mesh)
    jitted = jax.jit(first_state, out_shardings=state_at)
    options = compiler_options(mesh)

    def start(variables: Variables) -> tuple[TrainState, Tree]:
        trainable, read = split(variables.params, stage.trainable)
        return jitted(trainable, variables.state), cast_like(frozen, read)

    return Program(
        start=start,
        cast_frozen=partial(cast_like, frozen),
        step=jax.jit(
            make_train_step(system, stage),
            in_shardings=(state_at, frozen_at, rows),
            out_shardings=(state_at, everywhere),
            donate_argnums=0,
            compiler_options=options,
        ),
        evaluate=jax.jit(
            make_evaluate_step(system, stage),
            in_shardings=(state_at.params, frozen_at, state_at.state, everywhere, rows),
            out_shardings=everywhere,
            compiler_options=options,
        ),
        state=state,
        frozen=frozen,
        stored=stored,
    )


def check_dtypes(system: System, variables: Variables) -> None:
    """Raises UserError when a pattern of the system's `dtypes` matches no parameter."""
    if system.dtypes:
        check(sorted(paths_of(variables.params)), [pattern for pattern, _ in system.dtypes])
