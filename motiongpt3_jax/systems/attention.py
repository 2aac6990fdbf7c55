"""Chooses the attention kernel of a model for the devices that it runs on."""

from dataclasses import replace

from motiongpt3_jax.models.attention_kernels import AUTO
from motiongpt3_jax.systems.interface import ModelSpec


def choose_attention(spec: ModelSpec, platform: str) -> ModelSpec:
    """The same model with the attention that training takes on a platform, where its config leaves the choice.

    Args:
      spec: of the model; parameters do not depend on it.
      platform: "tpu", "gpu" or "cpu", as JAX's devices name theirs.
    """
    model = spec.config["model"]
    if model.get("attention") != AUTO:
        return spec
    on_gpu = "reference" if model["dtype"] == "float32" else "cudnn"
    kernel = {"tpu": "splash", "gpu": on_gpu}.get(platform, "reference")
    return replace(spec, config={**spec.config, "model": {**model, "attention": kernel}})
