"""Model FLOPs by tracing: matrix products and convolutions in the jaxpr of a function, loops times their lengths."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import partial_eval

from motiongpt3_jax.systems.interface import System, Variables
from motiongpt3_jax.training.partition import merge, paths_of, split
from motiongpt3_jax.training.stage import Stage
from motiongpt3_jax.training.step import weighted_total


def step_flops(system: System, stage: Stage, variables: Variables, batch: Any) -> float:
    """FLOPs of the products of a train step, forward and backward, of all rows with their padding.

    Build the system without recomputation, and these are those of the model; on a single device, and they are those of
    all chips together.

    Args:
      system: the system.
      stage: the stage.
      variables: shapes of its variables.
      batch: shapes of a global batch.
    """
    trainable, frozen = split(variables.params, stage.trainable)
    without_gradient = frozenset(paths_of(frozen))

    def total(params: Any, frozen: Any, state: Any, batch: Any) -> Any:
        draws = system.draw(jax.random.key(0), batch, True)
        terms = system.losses[stage.loss](
            Variables(merge(params, frozen), state, without_gradient), batch, draws, stage.objective
        )
        return weighted_total(terms.sums, terms.counts, stage)

    return function_flops(jax.grad(total), trainable, frozen, variables.state, batch)


def function_flops(function: Callable[..., Any], *arguments: Any) -> float:
    """FLOPs of the products of a function of arguments that may be shapes; what no result needs is left out."""
    closed = jax.make_jaxpr(function)(*arguments)
    # Compilers leave it out too.
    return jaxpr_flops(partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))[0])


def jaxpr_flops(jaxpr: core.Jaxpr, kernels: bool = False) -> float:
    """FLOPs of a jaxpr's products, or of those of Pallas kernels alone; of a condition's branches, the longest's."""
    return sum(_equation_flops(equation, kernels) for equation in jaxpr.eqns)


def _equation_flops(equation: Any, kernels: bool) -> float:
    name, parameters = equation.primitive.name, equation.params
    if name == "pallas_call":  # blocks that its mask leaves out count too
        inside = sum(map(jaxpr_flops, core.jaxprs_in_params(parameters)))
        return inside * math.prod(parameters["grid_mapping"].grid)
    if name in ("dot_general", "conv_general_dilated") and kernels:
        return 0.0
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        first = equation.invars[0].aval.shape
        return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(first[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel, numbers = equation.invars[1].aval.shape, parameters["dimension_numbers"].rhs_spec
        places = math.prod(kernel) // kernel[numbers[0]]
        # A convolution that spreads its input meets zeros in between.
        spread = math.prod(parameters["lhs_dilation"])
        return 2.0 * math.prod(equation.outvars[0].aval.shape) * places / spread
    if name == "cond":
        return max(jaxpr_flops(branch.jaxpr, kernels) for branch in parameters["branches"])
    inside = sum(jaxpr_flops(inner, kernels) for inner in core.jaxprs_in_params(parameters))
    if name == "scan":
        return inside * parameters["length"]
    if name == "while":
        return inside * loop_trips(parameters["cond_jaxpr"].jaxpr, parameters["body_jaxpr"].jaxpr)
    return inside


def loop_trips(condition: core.Jaxpr, body: core.Jaxpr) -> int:
    """How often a loop can run: the number that its counter stays below, else in how many pieces it writes its arrays.

    A loop that may end earlier counts as long as it can be.
    """
    for equation in condition.eqns:
        if equation.primitive.name == "lt" and isinstance(equation.invars[1], core.Literal):
            return max(int(equation.invars[1].val), 1)
    return written_pieces(body)


def written_pieces(body: core.Jaxpr) -> int:
    """How often a loop whose end depends on data can run: in how many pieces it writes its arrays, at most; else 1."""
    pieces = 1
    for equation in body.eqns:
        if equation.primitive.name == "dynamic_update_slice":
            whole, piece = (math.prod(x.aval.shape) for x in equation.invars[:2])
            pieces = max(pieces, -(-whole // max(piece, 1)))
        for inner in core.jaxprs_in_params(equation.params):
            pieces = max(pieces, written_pieces(inner))
    return pieces
