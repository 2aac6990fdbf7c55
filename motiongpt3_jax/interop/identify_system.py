"""Which system a checkpoint of other code belongs to, by the names of its tensors."""

import re
from collections.abc import Collection, Mapping

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.registry import find_system, system_names

OTHERS: Mapping[str, str] = {
    r"(^|\.)(vqvae|quantizer)\.(codebook|layers\.\d+\.codebook)": "a VQ-VAE such as that of MoMask",
    r"(^|\.)seqTransEncoder\.": "MDM",
    r"(^|\.)seqTransformer\.": "MoMask",
    r"(^|\.)temporal_decoder_blocks\.": "MotionDiffuse",
    r"(^|\.)model\.layers\.\d+\.self_attn\.q_proj\.": "a Llama",
}
"""Models that no system reads, by patterns of their tensors' names."""


def choose_config(names: Collection[str], config: str, system: str) -> str:
    """Name of the config that says what tensors do not: the one that is given, or that of the system that reads them.

    Args:
      names: of the tensors.
      config: the one that is given; "" for none.
      system: which the given config names.

    Raises:
      UserError: no system reads such tensors, or another than that of the given config.
    """
    configs = find_configs(names)
    if not configs:
        raise UserError(_unknown(names))
    if config and system not in configs:
        owner, usual = next(iter(configs.items()))
        raise UserError(
            f"the tensors ({_first(names)}) are read as a {find_system(owner).title}, and --config {config} is of a "
            f"{find_system(system).title}: leave --config out, or give one such as {usual}"
        )
    return config or next(iter(configs.values()))


def find_configs(names: Collection[str]) -> dict[str, str]:
    """By the systems that read tensors of these names, the config that says what the tensors do not."""
    importers = {name: find_system(name).weights.importer for name in system_names()}
    configs = {name: importer.find_config(names) for name, importer in importers.items() if importer is not None}
    return {name: config for name, config in configs.items() if config is not None}


def _unknown(names: Collection[str]) -> str:
    importers = (find_system(name).weights.importer for name in system_names())
    give = ", or ".join(importer.reads for importer in importers if importer is not None)
    for pattern, model in OTHERS.items():
        name = next(filter(re.compile(pattern).search, names), None)
        if name is not None:
            return f"the tensors ({name} ...) are those of {model}, another model, which is not read here: give {give}"
    return f"the tensors ({_first(names)}) are of no known model: give {give}"


def _first(names: Collection[str]) -> str:
    return f"{', '.join(list(names)[:3])} ..."
