"""Sizes of published language models: the keys of their `config.json` by family, as tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.language_models.sections import LanguageModelSection, layer_windows
from motiongpt3_jax.values import SECTION, check_value, one_of, rules_of, sequence_of

GLOBAL, LOCAL = "full_attention", "sliding_attention"
"""Layers without and with a window, in `layer_types`; in newer files also the sections of their rotary positions."""

LAYER_TYPES = sequence_of(one_of(GLOBAL, LOCAL))

LIKE_LLAMA: Mapping[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "use_sliding_window": (False, None),
}
LIKE_GEMMA: Mapping[str, tuple[Any, ...]] = {
    "hidden_activation": ("gelu_pytorch_tanh",),
    "attention_bias": (False,),
    "use_bidirectional_attention": (False, None),
}


@dataclass(frozen=True)
class Published:
    """What the `config.json` of a family's models say.

    Attributes:
      title: such a model, in words.
      models: `model_type` of those that are read.
      usual: values without which the blocks are others; what a file does not say is the first.
      windows: whether `sliding_window` counts.
      pattern: `sliding_window_pattern` where a file does not say it.
      spare_ids: the last ids of a tokenizer for which models have no row: those of pictures.
      defaults: other values that files may leave out.
    """

    title: str
    models: tuple[str, ...]
    usual: Mapping[str, tuple[Any, ...]] = field(default_factory=lambda: LIKE_LLAMA)
    windows: bool = False
    pattern: int | None = None
    spare_ids: int = 0
    defaults: Mapping[str, Any] = field(default_factory=dict)


GEMMA_DEFAULTS = {"tie_word_embeddings": True, "head_dim": 256, "query_pre_attn_scalar": 256, "sliding_window": 4096}

PUBLISHED: Mapping[str, Published] = {
    "llama": Published("a Llama", ("llama", "mistral"), windows=True),
    "qwen2": Published("a Qwen 2", ("qwen2",)),
    "qwen3": Published("a Qwen 3", ("qwen3",), defaults={"head_dim": 128}),
    "gemma2": Published(
        "a Gemma 2",
        ("gemma2",),
        LIKE_GEMMA,
        windows=True,
        pattern=2,
        defaults={**GEMMA_DEFAULTS, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    ),
    "gemma3": Published(
        "a Gemma 3",
        ("gemma3_text",),
        LIKE_GEMMA,
        windows=True,
        pattern=6,
        spare_ids=1,
        defaults={**GEMMA_DEFAULTS, "rope_theta": 1_000_000.0, "rope_local_base_freq": 10_000.0},
    ),
}
"""The families of blocks whose published models are read."""

NEEDED: Mapping[str, str] = {
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "mlp_width": "intermediate_size",
}
"""Our names of the sizes that every file says, and theirs."""

OTHERS: Mapping[str, tuple[str, Any]] = {
    "kv_heads": ("num_key_value_heads", None),
    "head_width": ("head_dim", None),
    "norm_eps": ("rms_norm_eps", 1e-6),
    "query_pre_attn_scalar": ("query_pre_attn_scalar", None),
    "attention_cap": ("attn_logit_softcapping", None),
    "logit_cap": ("final_logit_softcapping", None),
    "tied": ("tie_word_embeddings", False),
}
"""The same of values that files may leave out, and what they are then, unless the family's defaults say it."""


def read_sizes(values: Mapping[str, Any], family: str, name: str = "config.json") -> dict[str, Any]:
    """The values of a config's `LanguageModelSection` that the `config.json` of a published model says.

    Args:
      values: its content.
      family: of the blocks, one of `PUBLISHED`.
      name: of the file, as errors say it.

    Raises:
      UserError: it is another model's, or of blocks that are not known, or a value is none; says which.
    """
    published = PUBLISHED[family]
    kind = values.get("model_type")
    if kind not in published.models:
        other = next((family for family, other in PUBLISHED.items() if kind in other.models), None)
        set_it = "" if other is None else f": set the family to {other}"
        are = "is" if len(published.models) == 1 else "are"
        raise UserError(
            f"{name} describes a {kind!r}; of the family {family} {' and '.join(published.models)} {are} read{set_it}"
        )
    for key, usual in published.usual.items():
        if values.get(key, usual[0]) not in usual:
            raise UserError(f"{name} has {key} {values[key]!r}, which is not read; models with {usual[0]!r} are")
    values = {**published.defaults, **values}
    try:
        sizes = {ours: values[theirs] for ours, theirs in NEEDED.items()}
        rotary = _rotary(values, name)
    except KeyError as error:
        raise UserError(
            f"{name} has no {error}, a size of {published.title}; give the folder of a whole checkpoint"
        ) from None
    sizes |= {ours: values.get(theirs, default) for ours, (theirs, default) in OTHERS.items()} | rotary
    _check(sizes, name)
    head_width, scalar = sizes["head_width"] or sizes["width"] // sizes["heads"], sizes["query_pre_attn_scalar"]
    return {
        "family": family,
        **sizes,
        "kv_heads": sizes["kv_heads"] or sizes["heads"],
        "head_width": head_width,
        "query_pre_attn_scalar": None if scalar == head_width else scalar,
        **_windows(values, published, sizes["layers"], name),
    }


def _check(sizes: Mapping[str, Any], name: str) -> None:
    rules = rules_of(LanguageModelSection)
    theirs = {**NEEDED, **{ours: key for ours, (key, _) in OTHERS.items()}}
    for ours, value in sizes.items():
        check_value(f"{theirs.get(ours, ours)} of {name}", value, rules[ours])


def _rotary(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Values of rotary positions, which newer files keep in one section, or in one for layers of each kind."""
    section = values.get("rope_parameters") or values.get("rope_scaling") or {}
    check_value(f"rope_parameters of {name}", section, SECTION)
    local, section = section.get(LOCAL, {}), section.get(GLOBAL, section)
    for part in (local, section):
        check_value(f"rope_parameters of {name}", part, SECTION)
    local_theta = local.get("rope_theta") or values.get("rope_local_base_freq")
    if _kind(local) != "default":
        raise UserError(f"{name} scales rotary positions of layers with a window, which is not read")
    return {
        "rope_theta": _real(section.get("rope_theta") or values.get("rope_theta") or 10_000.0),
        "rope_scaling": _scaling(section, name),
        "rope_local_theta": _real(local_theta),
    }


def _scaling(section: Mapping[str, Any], name: str) -> float | tuple[float, float, float, int] | None:
    kind = _kind(section)
    if kind == "default":
        return None
    if kind == "linear":
        return _real(section["factor"])
    if kind != "llama3":
        raise UserError(
            f"{name} scales rotary positions by {kind!r}, which is not read; 'default', 'linear' and 'llama3' are"
        )
    numbers = [_real(section[key]) for key in ("factor", "low_freq_factor", "high_freq_factor")]
    return (*numbers, section["original_max_position_embeddings"])


def _real(value: Any) -> Any:
    """A whole number as a real one, as configs have it; whatever else it is, rules check."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _kind(section: Mapping[str, Any]) -> str:
    return section.get("rope_type") or section.get("type") or "default"


def _windows(values: Mapping[str, Any], published: Published, layers: int, name: str) -> dict[str, int | None]:
    """Window and pattern of the layers."""
    window = values.get("sliding_window") if published.windows else None
    pattern, types = values.get("sliding_window_pattern", published.pattern), values.get("layer_types")
    if types is not None:
        check_value(f"layer_types of {name}", types, LAYER_TYPES)
    if window is None or types == [GLOBAL] * layers:
        return {"sliding_window": None, "sliding_window_pattern": None}
    if types is not None and "sliding_window_pattern" not in values:
        pattern = types.index(GLOBAL) + 1 if GLOBAL in types else None
    sections = rules_of(LanguageModelSection)
    check_value(f"sliding_window of {name}", window, sections["sliding_window"])
    check_value(f"sliding_window_pattern of {name}", pattern, sections["sliding_window_pattern"])
    if types not in (None, [LOCAL if each else GLOBAL for each in layer_windows(layers, window, pattern)]):
        raise UserError(
            f"{name} has layer_types of another pattern than windows in all layers but the last of each {pattern}, "
            "which is not read"
        )
    return {"sliding_window": window, "sliding_window_pattern": pattern}
