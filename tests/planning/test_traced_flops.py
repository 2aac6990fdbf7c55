import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from motiongpt3_jax.planning.traced_flops import function_flops, jaxpr_flops

X, W = jax.ShapeDtypeStruct((8, 16), jnp.float32), jax.ShapeDtypeStruct((3, 16, 16), jnp.float32)
PRODUCT = 2 * 8 * 16 * 16


def layers(w, x):
    return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, w)[0].sum()


def test_a_trained_product_counts_thrice_as_often_as_its_loop_runs():
    assert function_flops(layers, W, X) == 3 * PRODUCT
    # The first layer's input has no gradient, but a loop computes the same in each round.
    assert function_flops(jax.grad(layers), W, X) == 9 * PRODUCT


def test_what_no_result_needs_does_not_count():
    assert function_flops(lambda w, x: (x @ w[0], x @ w[1])[0], W, X) == PRODUCT


def test_a_loop_that_ends_with_the_data_counts_to_its_longest():
    def pieces(w, x, count):
        def write(i, y):
            part = jax.lax.dynamic_slice_in_dim(x, 2 * i, 2, axis=0)
            return jax.lax.dynamic_update_slice_in_dim(y, part @ w[0], 2 * i, axis=0)

        return jax.lax.fori_loop(0, count, write, jnp.zeros_like(x))

    assert function_flops(pieces, W, X, jax.ShapeDtypeStruct((), jnp.int32)) == PRODUCT


def test_a_loop_that_may_end_early_counts_to_what_its_counter_stays_below():
    def unfinished(state):
        step, kept = state
        return (step < 3) & (kept.sum() < 1)

    def write(state):
        step, kept = state
        row = kept[:1] @ jnp.ones((16, 16))
        return step + 1, jax.lax.dynamic_update_slice_in_dim(kept, row, step, axis=0)

    def run(x):
        return jax.lax.while_loop(unfinished, write, (0, x))

    assert function_flops(run, X) == 3 * 2 * 16 * 16


def test_a_convolution_that_spreads_its_input_does_not_count_the_zeros():
    clip, kernel = jnp.zeros((1, 10, 4)), jnp.zeros((3, 4, 5))
    numbers = ("NWC", "WIO", "NWC")

    def convolve(x, kernel, **options):
        return jax.lax.conv_general_dilated(x, kernel, padding=((1, 1),), dimension_numbers=numbers, **options)

    def plain(x, k):
        return convolve(x, k, window_strides=(1,))

    assert function_flops(plain, clip, kernel) == 2 * 10 * 5 * 3 * 4

    def spread(x, k):
        return convolve(x, k, window_strides=(1,), lhs_dilation=(2,))

    assert function_flops(spread, clip, kernel) == 2 * 19 * 5 * 3 * 4 / 2


def test_products_of_a_kernel_count_once_for_each_of_its_blocks_and_can_be_told_from_others():
    def kernel(x, w, y):
        y[...] = x[...] @ w[...]

    def both(w, x):
        blocks = [pl.BlockSpec((4, 16), lambda i: (i, 0)), pl.BlockSpec((16, 16), lambda i: (0, 0))]
        tiled = pl.pallas_call(
            kernel, jax.ShapeDtypeStruct((8, 16), x.dtype), grid=(2,), in_specs=blocks, out_specs=blocks[0]
        )
        return tiled(x, w[0]) @ w[1]

    assert function_flops(both, W, X) == 2 * PRODUCT
    assert jaxpr_flops(jax.make_jaxpr(both)(W, X).jaxpr, kernels=True) == PRODUCT
