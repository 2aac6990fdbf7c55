"""Train step and evaluation step: gradients with accumulation, optimizer update, EMA, metrics; pure functions."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Bool, Float, UInt32

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.interface import System, Terms, Tree, Variables
from motiongpt3_jax.training.optimizers import learning_rate, make_optimizer
from motiongpt3_jax.training.partition import merge, paths_of
from motiongpt3_jax.training.stage import Stage
from motiongpt3_jax.training.state import Tally, TrainState

VALIDATION = 2**31 - 1
"""Stands for the step in the key of validation draws, so that they are the same at every validation."""


class Report(struct.PyTreeNode):
    """Metrics of a train step.

    Attributes:
      finite: whether loss and gradients were; if not, the step changed no parameter.
      tally: reported numbers, summed since the last report.
    """

    finite: Bool[Array, ""]
    tally: Tally


TrainStep = Callable[[TrainState, Tree, Batch], tuple[TrainState, Report]]
"""(state, frozen parameters, batch) -> (state, report)."""

EvaluateStep = Callable[[Tree, Tree, Tree, UInt32[Array, "words"], Batch], Tally]
"""(trainable, frozen parameters, state, key data, batch) -> tally."""


def make_train_step(system: System, stage: Stage) -> TrainStep:
    """The train step of a stage, one optimizer update: (state, frozen parameters, batch) -> (state, report)."""
    config = stage.optimizer
    optimizer = make_optimizer(config, stage.steps)
    rate = learning_rate(config, stage.steps)

    def step(state: TrainState, frozen: Tree, batch: Batch) -> tuple[TrainState, Report]:
        draws = system.draw(jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step), batch, True)
        gradients, terms = _gradients(system, stage, state, frozen, batch, draws)
        norm = optax.tree.norm(gradients)
        total = weighted_total(terms.sums, terms.counts, stage)
        updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        finite = jnp.isfinite(total) & jnp.isfinite(norm)
        new = (params, _ema(state, params, config.ema), _advance(system, state.state, terms), optimizer_state)
        before = (state.params, state.ema, state.state, state.optimizer)
        # A step that is not finite changes nothing.
        params, ema, moving, optimizer_state = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, before)

        one = jnp.ones(())
        extra = {"loss": total, "gradient_norm": norm, "learning_rate": rate(state.step)}
        tally = tally_of(terms) | {name: (value * one, one) for name, value in extra.items()}
        fresh = state.step % stage.log_every == 0
        tally = jax.tree.map(lambda new, old: new + jnp.where(fresh, 0.0, old), tally, state.tally)
        after = state.replace(
            step=state.step + 1, params=params, ema=ema, state=moving, optimizer=optimizer_state, tally=tally
        )
        return after, Report(finite, tally)

    return step


def make_evaluate_step(system: System, stage: Stage) -> EvaluateStep:
    """The evaluation step: (trainable, frozen parameters, state, key data, batch) -> the loss's terms and metrics."""

    def evaluate(params: Tree, frozen: Tree, state: Tree, key: UInt32[Array, "words"], batch: Batch) -> Tally:
        draws = system.draw(jax.random.fold_in(jax.random.wrap_key_data(key), VALIDATION), batch, False)
        return tally_of(_loss(system, stage)(Variables(merge(params, frozen), state), batch, draws, stage.objective))

    return evaluate


def report_names(system: System, stage: Stage, variables: Variables, batch: Batch) -> list[str]:
    """Names of the numbers that a stage's train step reports."""

    def terms(variables: Variables, batch: Batch) -> Tally:
        draws = system.draw(jax.random.key(0), batch, True)
        return tally_of(_loss(system, stage)(variables, batch, draws, stage.objective))

    return [*jax.eval_shape(terms, variables, batch), "loss", "gradient_norm", "learning_rate"]


def tally_of(terms: Terms) -> Tally:
    """Sums and counts of terms and metrics under their reported names."""
    losses = {f"loss/{name}": (value, terms.counts[name]) for name, value in terms.sums.items()}
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), losses | dict(terms.metrics))


def means(tally: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Reported numbers, from sums and counts on the host; those that counted nothing are left out."""
    return {name: float(total) / float(count) for name, (total, count) in tally.items() if float(count)}


def weighted_total(sums: Mapping[str, Array], counts: Mapping[str, Array], stage: Stage) -> Float[Array, ""]:
    """Weighted sum of the loss terms: each term's mean times its weight.

    Raises:
      UserError: the objective does not weigh a term.
    """
    weights = stage.objective.term_weights
    missing = sorted(set(sums) - set(weights))
    if missing:
        raise UserError(
            f"loss '{stage.loss}' of stage '{stage.name}' gives {missing}, which its objective does not weigh; "
            f"it weighs {sorted(weights)}."
        )
    parts = [weights[name] * value / jnp.maximum(counts[name], 1) for name, value in sums.items() if weights[name]]
    return jnp.asarray(sum(parts), jnp.float32)


def _loss(system: System, stage: Stage) -> Callable[..., Terms]:
    if stage.loss not in system.losses:
        raise UserError(f"stage '{stage.name}' asks for loss '{stage.loss}'; the system has {sorted(system.losses)}.")
    return system.losses[stage.loss]


def _gradients(
    system: System, stage: Stage, state: TrainState, frozen: Tree, batch: Batch, draws: Tree
) -> tuple[Tree, Terms]:
    """Gradients of the batch's total loss, and its terms; with gradient accumulation over micro-batches, if any."""
    loss = _loss(system, stage)
    pieces, without_gradient = stage.optimizer.accumulate, frozenset(paths_of(frozen))

    def total(params: Tree, moving: Tree, batch: Batch, draws: Tree, counts: Tree | None) -> tuple[Array, Terms]:
        variables = Variables(merge(params, frozen), moving, without_gradient)
        terms = loss(variables, batch, draws, stage.objective)
        counts = jax.lax.stop_gradient(terms.counts) if counts is None else counts
        return weighted_total(terms.sums, counts, stage), terms

    gradient = jax.grad(total, has_aux=True)
    if pieces == 1:
        return gradient(state.params, state.state, batch, draws, None)

    # Only the counts of this call are used, so the compiler drops its forward pass.
    counts = loss(Variables(merge(state.params, frozen), state.state), batch, draws, stage.objective).counts
    micro_batches, micro_draws = _in_pieces(batch, pieces), _in_pieces(draws, pieces, rows=_rows(batch))

    def piece(batch: Batch, draws: Tree) -> tuple[Tree, Terms]:
        return gradient(state.params, state.state, batch, draws, counts)

    def add(carry: tuple[Tree, Terms], inputs: tuple[Batch, Tree]) -> tuple[tuple[Tree, Terms], None]:
        return jax.tree.map(jnp.add, carry, piece(*inputs)), None

    first = jax.tree.map(lambda x: x[0], (micro_batches, micro_draws))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(piece, *first))
    return jax.lax.scan(add, zeros, (micro_batches, micro_draws))[0]


def _rows(batch: Batch) -> int:
    return len(jax.tree.leaves(batch)[0])


def _in_pieces(tree: Tree, pieces: int, rows: int | None = None) -> Tree:
    """Micro-batches: rows dealt out to `pieces` of them, as a leading axis.

    Every `pieces`-th row goes together, so that no row leaves its device. In a tree of draws (`rows` given), a single
    key is folded with the number of the micro-batch, and what has no rows goes to each.
    """

    def deal(x: Array) -> Array:
        if rows is not None and (x.ndim == 0 or len(x) != rows):
            if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) and x.ndim == 0:
                return jax.vmap(jax.random.fold_in, (None, 0))(x, jnp.arange(pieces))
            return jnp.broadcast_to(x, (pieces, *x.shape))
        if len(x) % pieces:
            raise UserError(f"{len(x)} rows do not divide into accumulate = {pieces} micro-batches; change either.")
        return x.reshape(len(x) // pieces, pieces, *x.shape[1:]).swapaxes(0, 1)

    return jax.tree.map(deal, tree)


def _advance(system: System, state: Tree, terms: Terms) -> Tree:
    """The new state; a loss that measures nothing for it leaves it alone."""
    return system.advance(state, terms.state_sums) if jax.tree.leaves(terms.state_sums) else state


def _ema(state: TrainState, params: Tree, decay: float | None) -> Tree:
    """Exponential moving average (EMA) of the parameters after an update.

    It starts quick, with decay (1 + step) / (10 + step), and slows to `decay`.
    """
    if decay is None:
        return state.ema
    now = jnp.minimum(decay, (1.0 + state.step) / (10.0 + state.step))
    return jax.tree.map(lambda average, x: average + (1.0 - now) * (x - average), state.ema, params)
