"""Configs by name: `motiongpt3:base` is function `get_config("base")` of module `motiongpt3`."""

from motiongpt3_jax.configs.load import load_config

__all__ = ["load_config"]
