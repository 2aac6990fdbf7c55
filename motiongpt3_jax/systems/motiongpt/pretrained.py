"""A pretrained T5 as the language model's beginning."""

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models import T5Config
from motiongpt3_jax.systems.interface import ModelSpec, Tree
from motiongpt3_jax.systems.motiongpt.build import build_config, t5_config
from motiongpt3_jax.systems.motiongpt.check import read_model
from motiongpt3_jax.systems.motiongpt.name_table import language_table
from motiongpt3_jax.systems.motiongpt.t5_weights import open_t5, t5_table
from motiongpt3_jax.tensors.name_table import NameTable
from motiongpt3_jax.tensors.stored_tensors import stored_params

SIZES = ("width", "layers", "decoder_layers", "heads", "head_width", "mlp_width", "buckets", "max_distance", "eps")


def pretrained_t5(place: str, spec: ModelSpec) -> Tree:
    """Parameters of a T5 and of the ids of its tokenizer, none of which is read yet; those of motions start fresh.

    Raises:
      FileNotFoundError: there is no such T5.
      UserError: it is damaged, or has other sizes than the config.
    """
    model = read_model(spec.config["model"])
    if model.lm != "t5":
        raise UserError(
            f"config.pretrained is {place!r}, and config.model.lm {model.lm!r}: only a T5 starts pretrained"
        )
    expected, (config, tensors) = t5_config(model), open_t5(place)
    _require_sizes(place, config, expected)
    params = stored_params(tensors, t5_table(tensors, expected, spec.tokenizer.size))
    return {**params, "vocabulary": {name: params["vocabulary"][name] for name in ("table", "head")}}


def published_names(spec: ModelSpec) -> NameTable:
    """Names of the language model's tensors in a `T5ForConditionalGeneration`.

    Raises:
      UserError: it is a decoder alone, which nobody has published.
    """
    config = build_config(spec)
    if not isinstance(config.language, T5Config):
        raise UserError("a MotionGPT with model.lm 'gpt2' has no tensors by published names; one with a T5 has")
    return language_table(config.language, config.words, config.new_ids)


def _require_sizes(place: str, config: T5Config, expected: T5Config) -> None:
    for name in SIZES:
        theirs, ours = getattr(config, name), getattr(expected, name)
        if theirs != ours:
            raise UserError(f"the T5 {place!r} has {name} {theirs}, and the config {ours}: give both the same sizes")
