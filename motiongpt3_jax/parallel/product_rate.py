"""Peak FLOP/s of devices, published or measured: what MFU is a share of."""

import statistics
import time
from collections.abc import Mapping
from functools import partial

import jax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

PUBLISHED: Mapping[str, float] = {
    # Google Cloud's pages of TPU versions, bfloat16.
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5": 459e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
    "TPU7x": 2307e12,
    # NVIDIA's data sheets, dense bfloat16.
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100-PCIE-40GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
    "NVIDIA H100 80GB HBM3": 989.4e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H200": 989.4e12,
    "NVIDIA GH200 480GB": 989.4e12,
    "NVIDIA B200": 2250e12,
    "NVIDIA L4": 121e12,
    "NVIDIA L40S": 362e12,
}
"""FLOP/s of one device by JAX's `device_kind`, in bfloat16 and without sparsity."""

SIZES = {"cpu": (4096, 1), "": (8192, 16)}
"""(rows and columns of measured matrices, products of a call) by platform, "" being all others.

Accelerators multiply larger ones, and many in a call, so that starting it takes no part of the time.
"""


def published_rate() -> float | None:
    """Published FLOP/s of all devices together; None for kinds that are not in the table, as CPUs."""
    rate = PUBLISHED.get(jax.devices()[0].device_kind)
    return rate and rate * jax.device_count()


def peak_rate() -> float | None:
    """Published FLOP/s of all devices together, or measured ones where no table has them; None on CPUs.

    A CPU would take seconds for it; of several processes each would measure something else.
    """
    published = published_rate()
    if published or jax.devices()[0].platform == "cpu" or jax.process_count() > 1:
        return published
    return measured_rate("bfloat16")


def measured_rate(dtype: DTypeLike, repeats: int = 5) -> float:
    """Measured FLOP/s of products of large matrices, of all devices together: the median of some calls.

    Products are those that a model of this dtype makes, at JAX's default precision.
    """
    platform = jax.devices()[0].platform
    size, products = SIZES.get(platform, SIZES[""])
    # Values keep their size from product to product.
    x, kernel = (
        (scale * jax.random.normal(jax.random.key(0), (size, size))).astype(dtype) for scale in (1, size**-0.5)
    )
    multiply, seconds = jax.jit(partial(_multiply, products)), []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        jax.block_until_ready(multiply(x, kernel))
        seconds.append(time.perf_counter() - began)
    # Simulated devices share the CPU.
    devices = 1 if platform == "cpu" else jax.device_count()
    return devices * products * 2 * size**3 / statistics.median(seconds[1:])


def _multiply(products: int, x: Float[Array, "size size"], kernel: Float[Array, "size size"]) -> Array:
    return jax.lax.fori_loop(0, products, lambda _, x: x @ kernel, x)
