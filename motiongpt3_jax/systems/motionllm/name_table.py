"""MotionLLM's name tables: adapters and rows of motions (`motionllm.pth`), and the motion tokenizer (`vqvae.pth`)."""

from collections.abc import Collection, Iterator, Mapping

from motiongpt3_jax.systems.adapter_names import (
    FACTORS,
    PREFIX,
    Shapes,
    adapted_projections,
    factor_table,
    kernels_by_projection,
    module_of,
)
from motiongpt3_jax.systems.language_models import language_model_table
from motiongpt3_jax.systems.motion_codes.config import CodeModelConfig
from motiongpt3_jax.systems.motion_codes.vqvae_names import vqvae_entries
from motiongpt3_jax.tensors.name_table import Entry, NameTable

VQVAE = "vqvae."
"""What names of the motion tokenizer begin with."""

ADAPTERS = ("t2m", "m2t")
"""The published adapters, in their order."""

ROWS, HEAD_ROWS = "embeddings", "lm_head"
"""Names of the rows of motions, as they are read and as they are written."""


def vqvae_table(config: CodeModelConfig) -> NameTable:
    """The name table of `vqvae.pth`."""
    return NameTable(tuple(vqvae_entries(config.vqvae, VQVAE)))


def adapter_table(config: CodeModelConfig, shapes: Shapes, names: Collection[str] | None = None) -> NameTable:
    """The name table of `motionllm.pth`: adapters and the rows of motions, in the order of the published file.

    Args:
      config: the model's sizes, and its adapters.
      shapes: of its parameters, by their paths.
      names: of the adapters; None for all.
    """
    adapters = [adapter.name for adapter in config.language.adapters.each if names is None or adapter.name in names]
    adapters.sort(key=lambda name: ADAPTERS.index(name) if name in ADAPTERS else len(ADAPTERS))
    published = language_model_table(config.language, config.words, config.words, config.tied)
    rows = (config.new_ids, config.language.streams[0].width)
    entries = [*_factors(published, shapes, adapters), Entry(ROWS, "vocabulary/new", rows)]
    if config.tied:
        return NameTable(tuple(entries), {HEAD_ROWS: ROWS})
    return NameTable((*entries, Entry(HEAD_ROWS, "vocabulary/new_head", rows)))


def _factors(published: NameTable, shapes: Shapes, names: Collection[str]) -> Iterator[Entry]:
    """Module by module A of each adapter, then B of each."""
    kernels = kernels_by_projection(published)
    by_key: Mapping[str, Entry] = {
        entry.key: entry
        for name in names
        for entry in factor_table(kernels, shapes, adapted_projections(shapes, name), name, named=True).entries
    }
    for kernel in published.entries:
        for factor in FACTORS.values():
            keys = (f"{PREFIX}{module_of(kernel)}.{factor}.{name}.weight" for name in names)
            yield from (by_key[key] for key in keys if key in by_key)
