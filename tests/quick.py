"""What tests share or shrink to be quick: programs of equal models, and the products that benchmarks compare with.

In a shell each command loads the model anew.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from motiongpt3_jax.inference.engine import Engine
from motiongpt3_jax.parallel.product_rate import SIZES


@pytest.fixture(scope="session", autouse=True)
def shared_programs():
    """Each program is compiled once a worker, whatever folder the model comes from."""
    programs, of = {}, Engine.of

    def sharing(folder, variables, trained, compiled=None, mesh=None):
        engine = of(folder, variables, trained, compiled, mesh)
        return engine if compiled is not None else replace(engine, compiled=programs.setdefault(_key(engine), {}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "of", staticmethod(sharing))
        yield


@pytest.fixture(scope="session", autouse=True)
def small_products():
    """Benchmarks compare with products of matrices that take no second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "cpu", (256, 1))
        yield


def one_quick(names: str | tuple[str, ...], cases: Sequence[Any], quick: Any = None, ids: Any = None) -> Any:
    """`pytest.mark.parametrize` of cases of which `make test` runs one: the first, or the one that is named."""
    chosen, several = quick if quick in cases else cases[0], not isinstance(names, str)
    slow = [pytest.param(*(case if several else (case,)), marks=pytest.mark.slow) for case in cases]
    return pytest.mark.parametrize(names, [x if x == chosen else y for x, y in zip(cases, slow)], ids=ids)


def _key(engine: Engine) -> tuple[str, ...]:
    """What a program depends on, the arrays that it is given aside."""
    spec = engine.folder.spec
    ids = (
        "" if spec.tokenizer is None else repr(replace(spec.tokenizer, backend=None)) + spec.tokenizer.backend.to_str()
    )
    shapes = (json.dumps(spec.config, default=str, sort_keys=True), ids, f"{spec.features} {spec.fps}")
    return *(hashlib.sha256(text.encode()).hexdigest() for text in shapes), repr(engine.mesh)
