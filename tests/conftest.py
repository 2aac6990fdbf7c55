"""Tests run on the CPU, in float32, with compiled programs kept between runs."""

import gc
import os
from pathlib import Path

CACHE = Path(__file__).parent.parent / ".cache" / "jax"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
# Most programs run once or twice: without LLVM's optimizations and the slower ones of XLA, and with XLA's older and
# quicker way to make kernels of fusions, all in one module, they compile in a seventh of the time.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_opt_preset=CPU_OPT_PRESET_FAST_COMPILE"
    " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Workers share the cores out: threads of two that take turns on each of them lose a twentieth of the time.
if "PYTEST_XDIST_WORKER" in os.environ and hasattr(os, "sched_setaffinity"):
    number, count = int(os.environ["PYTEST_XDIST_WORKER"][2:]), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[number::count] or os.sched_getaffinity(0))
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import pytest  # noqa: E402

from tests import extras  # noqa: E402
from tests.golden import (  # noqa: E402, F401
    pytest_make_collect_report,
    pytest_runtest_makereport,
    pytest_runtest_protocol,
    pytest_terminal_summary,
)
from tests.quick import shared_programs, small_products  # noqa: E402, F401
from tests.trained import pytest_collection_modifyitems, trained  # noqa: E402, F401


def pytest_configure(config: pytest.Config) -> None:
    """Only tests with a marker see what extras bring."""
    config.pluginmanager.register(extras)
    # Tracing makes many objects that live on; looking for cycles among them each time takes a tenth of all time.
    gc.set_threshold(50_000, 10, 10)


@pytest.fixture
def shared_rows(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each batch of questions that is laid out from now on, whether some of them share a row."""
    from motiongpt3_jax.inference import engine

    shared, pack = [], engine.pack_questions

    def pack_and_note(*arguments):
        shared.append(pack(*arguments) is not None)
        return pack(*arguments)

    monkeypatch.setattr(engine, "pack_questions", pack_and_note)
    return shared
