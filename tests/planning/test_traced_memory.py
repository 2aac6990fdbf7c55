import jax
import jax.numpy as jnp
import pytest

from motiongpt3_jax.planning.traced_memory import jaxpr_memory, tiled_bytes

X, W = jax.ShapeDtypeStruct((8, 128), jnp.float32), jax.ShapeDtypeStruct((128, 128), jnp.float32)
STACK = jax.ShapeDtypeStruct((3, 128, 128), jnp.float32)
SMALL, KERNEL = 4 * 8 * 128, 4 * 128 * 128


def traced(function, *arguments, **options):
    return jaxpr_memory(jax.make_jaxpr(function)(*arguments).jaxpr, **options)


def test_elementwise_operations_behind_a_product_are_fused_into_it():
    found = traced(lambda x, w: jnp.maximum(x @ w + 1, 0) * 2, X, W, consumes=False)
    assert found.peak == SMALL
    assert found.moved == SMALL + KERNEL + SMALL


def test_an_array_lies_there_until_it_is_read_for_the_last_time():
    def twice(x, w):
        y = x @ w
        return (y @ w) @ w + y

    assert traced(twice, X, W, consumes=False).peak == 3 * SMALL
    assert traced(lambda x, w: ((x @ w) @ w) @ w, X, W, consumes=False).peak == 2 * SMALL


def test_an_exponential_that_is_read_twice_is_kept_and_what_is_cheap_is_computed_twice():
    def moved(function):
        return traced(lambda x: function(x).sum(axis=0) @ function(x).T, X, consumes=False).moved

    def cheap(x):
        return x + 1

    reads, sums = 2 * SMALL, tiled_bytes((128,), jnp.dtype("float32"))
    assert moved(cheap) == reads + 2 * sums + tiled_bytes((8,), jnp.dtype("float32"))

    def dear(x):
        e = jnp.exp(x)
        return e.sum(axis=0) @ e.T

    kept = traced(dear, X, consumes=False)
    assert kept.peak >= SMALL
    # What is written is summed beside.
    assert kept.moved == SMALL + SMALL + SMALL + 2 * sums + tiled_bytes((8,), jnp.dtype("float32"))


def test_reductions_of_the_same_arrays_read_them_once():
    both = traced(lambda x: (x.sum(axis=0), (x * x).sum(axis=0)), X, consumes=False)
    one = traced(lambda x: x.sum(axis=0), X, consumes=False)
    assert both.moved == one.moved + tiled_bytes((128,), jnp.dtype("float32"))


def test_what_a_loop_keeps_for_the_backward_pass_is_stacked_unless_it_is_computed_again():
    def loss(policy):
        def layer(x, w):
            return jnp.tanh(jnp.tanh(x @ w) @ w), None

        body = jax.checkpoint(layer, policy=policy) if policy else layer
        return lambda stack, x: jax.lax.scan(body, x, stack)[0].sum()

    kept = traced(jax.grad(loss(None)), STACK, X, consumes=False).peak
    again = traced(jax.grad(loss(jax.checkpoint_policies.nothing_saveable)), STACK, X, consumes=False).peak
    # Of each layer either its input and both tangents' factors, or its input alone.
    assert kept > again
    assert again >= 3 * KERNEL + 3 * SMALL


def test_a_step_that_consumes_its_state_writes_in_its_place():
    def step(w, x):
        return w - 0.1 * (x.T @ x)

    assert traced(step, W, X, consumes=False).peak == KERNEL
    assert traced(step, W, X).peak == 0


def test_what_is_written_in_place_moves_its_part_alone():
    def write(w, x):
        return jax.lax.dynamic_update_slice(w, x * 2, (x[0, 0].astype(int), 0))

    found = traced(write, W, X)
    assert found.peak == 0
    assert found.moved < KERNEL


def test_the_trips_of_a_loop_move_their_bytes_each_time():
    def layers(stack, x):
        return jax.lax.scan(lambda x, w: (x @ w, None), x, stack)[0]

    assert traced(layers, STACK, X).moved == 3 * (SMALL + KERNEL + SMALL)


@pytest.mark.parametrize(
    ("shape", "dtype", "wanted"),
    [
        ((), "float32", 4),
        ((100,), "float32", 4 * 128),
        ((10, 100), "float32", 4 * 16 * 128),
        ((2, 128), "float32", 4 * 256),
        ((16, 12, 64), "bfloat16", 2 * 12 * 128 * 16),
        ((0, 5), "float32", 0),
    ],
)
def test_arrays_are_padded_to_tiles_along_the_axes_that_need_least(shape, dtype, wanted):
    assert tiled_bytes(shape, jnp.dtype(dtype)) == wanted
