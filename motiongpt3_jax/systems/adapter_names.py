"""The name table of LoRA factors, by PEFT's names of them.

PEFT names a factor `base_model.model.MODULE.lora_A.weight` in a file of one adapter, and in the state dict of a model
`base_model.model.MODULE.lora_A.NAME.weight`. MODULE is the module of Hugging Face's model whose product the adapter
adds to; A is (rank, inputs) and B (outputs, rank).
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.lora import ADAPTER, LORA
from motiongpt3_jax.tensors.name_table import Entry, NameTable

PREFIX = "base_model.model."
FACTOR = re.compile(rf"{re.escape(PREFIX)}(?P<module>.+)\.lora_(?P<factor>[AB])(\.(?P<name>[^.]+))?\.weight")
"""The name of a factor: of which module, which of the two, and of which adapter where a model may have several."""

FACTORS: Mapping[str, str] = {"a": "lora_A", "b": "lora_B"}
"""Our names of the factors, and PEFT's."""

Kernels = Mapping[str, list[Entry]]
"""Entries of kernels by the paths of their projections, one for each layer."""

Shapes = Mapping[str, tuple[int, ...]]


def kernels_by_projection(table: NameTable) -> Kernels:
    """The kernels of a published model's name table."""
    kernels: dict[str, list[Entry]] = {}
    for entry in table.entries:
        if entry.path.endswith("/kernel"):
            kernels.setdefault(entry.path.removesuffix("/kernel"), []).append(entry)
    return kernels


def adapted_projections(paths: Iterable[str], name: str) -> list[str]:
    """Paths of the projections that an adapter adapts, among the paths of parameters."""
    matches = (ADAPTER.fullmatch(path) for path in paths)
    return sorted({match["projection"] for match in matches if match and match["name"] == name})


def factor_table(
    kernels: Kernels, shapes: Shapes, adapted: Collection[str], name: str, named: bool = False
) -> NameTable:
    """The name table of an adapter's factors.

    Args:
      kernels: see `kernels_by_projection`.
      shapes: of the model's parameters, the adapter's among them, by their paths.
      adapted: paths of the projections that it adapts.
      name: of the adapter.
      named: whether names of tensors hold it.

    Raises:
      UserError: a projection is none of the published model's, or one matrix there with others.
    """
    entries, ending = [], f"{name}.weight" if named else "weight"
    for projection in adapted:
        if projection not in kernels:
            raise UserError(
                f"{projection} is no projection of the published model, so PEFT has no name for its adapter"
            )
        for kernel in kernels[projection]:
            if kernel.part is not None:
                raise UserError(
                    f"{projection} is a part of {module_of(kernel)} in the published model, one matrix of queries, "
                    "keys and values that PEFT adapts as a whole; adapters of such a projection stay with this program"
                )
            for factor, theirs in FACTORS.items():
                path = f"{projection}/{LORA}/{name}/{factor}"
                split = shapes[path][1:]
                flat = (math.prod(split[:-1]), split[-1]) if factor == "a" else (split[0], math.prod(split[1:]))
                key = f"{PREFIX}{module_of(kernel)}.{theirs}.{ending}"
                entries.append(Entry(key, path, flat[::-1], "transposed", kernel.index, split=split))
    return NameTable(tuple(entries))


def module_of(kernel: Entry) -> str:
    """The module of the published model that a kernel belongs to."""
    return kernel.key.removesuffix(".weight")


def with_factors(shapes: Shapes, adapted: Collection[str], name: str, rank: int) -> dict[str, tuple[int, ...]]:
    """Shapes of a model's parameters with those of an adapter that it has not yet."""
    factors = {}
    for projection in adapted:
        layers, *axes = shapes[f"{projection}/kernel"]
        # Heads are inputs of the output projection, and results of the others.
        inputs = len(axes) - 1 if projection.endswith("/o") else 1
        factors[f"{projection}/{LORA}/{name}/a"] = (layers, *axes[:inputs], rank)
        factors[f"{projection}/{LORA}/{name}/b"] = (layers, rank, *axes[inputs:])
    return {**shapes, **factors}
