from types import SimpleNamespace

import jax
import pytest

from motiongpt3_jax.parallel import product_rate
from motiongpt3_jax.parallel.product_rate import measured_rate, peak_rate, published_rate


def devices(monkeypatch: pytest.MonkeyPatch, kind: str, count: int = 1) -> None:
    """As if there were these instead."""
    made = [SimpleNamespace(device_kind=kind, platform="tpu" if "TPU" in kind else "gpu")] * count
    monkeypatch.setattr(jax, "devices", lambda: made)
    monkeypatch.setattr(jax, "device_count", lambda: count)


def test_the_published_peak_is_that_of_all_devices(monkeypatch):
    devices(monkeypatch, "TPU v5 lite", 16)
    assert peak_rate() == published_rate() == 16 * 197e12


def test_the_peak_of_an_accelerator_without_a_published_one_is_measured(monkeypatch):
    monkeypatch.setattr(product_rate, "SIZES", {"": (64, 4)})
    devices(monkeypatch, "Some GPU", 2)
    assert published_rate() is None
    assert peak_rate() > 0


def test_a_cpu_is_not_measured_when_a_run_begins(monkeypatch):
    monkeypatch.setattr(product_rate, "measured_rate", lambda dtype: pytest.fail("it was measured"))
    assert peak_rate() is None


def test_the_measured_rate_counts_every_product_of_a_call(monkeypatch):
    monkeypatch.setattr(product_rate, "SIZES", {"": (256, 1), "cpu": (256, 1)})
    clock = iter(range(100))
    monkeypatch.setattr(product_rate.time, "perf_counter", lambda: next(clock))
    assert measured_rate("float32", repeats=1) == 2 * 256**3  # a second a call
    monkeypatch.setattr(product_rate, "SIZES", {"": (256, 3), "cpu": (256, 3)})
    assert measured_rate("float32", repeats=1) == 3 * 2 * 256**3
