"""The section of a config with the sizes of a decoder language model: what systems with one have in common."""

from dataclasses import dataclass, replace
from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.flavour import FAMILIES, BlockFlavour, Rotary, RotaryScaling
from motiongpt3_jax.models.remat import POLICIES
from motiongpt3_jax.values import FLAG, Rule, none_or, one_of, real, setting, whole

WIDTH, LAYERS, POSITIONS = whole(1, 2**16), whole(1, 1024), whole(1, 10**6)
ABOVE_ZERO = real(0, 1e6, above=True)
SCALING = Rule(
    "a number above 0, or (factor, low, high, positions), three of which high is above low, and a whole number",
    lambda value: (
        (
            isinstance(value, tuple | list)
            and len(value) == 4
            and all(map(ABOVE_ZERO.holds, value[:3]))
            and value[1] < value[2]
            and POSITIONS.holds(value[3])
        )
        or ABOVE_ZERO.holds(value)
    ),
)
"""How frequencies of rotary positions are scaled."""


@dataclass(frozen=True)
class LanguageModelSection:
    """Sizes of a decoder language model.

    Attributes:
      width, layers, heads, max_positions, scan, remat: see `models.DecoderConfig`.
      family: kind of the blocks, see `models.flavour.FAMILIES`.
      kv_heads: heads of keys and values; None for as many as there are queries.
      head_width: of queries, keys and values; None for heads that are as wide as the model together.
      mlp_width: hidden width of the MLP; None for four times the width.
      norm_eps: smallest divisor of the norms.
      rope_theta: of rotary positions, see `models.flavour.Rotary`.
      rope_scaling: a number for `Rotary.factor`, the values of a `RotaryScaling`, or None.
      rope_local_theta: of layers with a window, whose frequencies nothing scales; None for those of all.
      sliding_window: positions that a query sees in layers with a window, its own counted; None for no windows.
      sliding_window_pattern: the last of each so many layers has no window; None for windows in all.
      query_pre_attn_scalar: attention scores are divided by its root; None for the head width.
      attention_cap, logit_cap: soft caps of attention scores and of logits; None for none.
      tied: whether one table reads and writes ids.
    """

    width: int = setting(WIDTH)
    layers: int = setting(LAYERS)
    heads: int = setting(WIDTH)
    max_positions: int = setting(POSITIONS)
    scan: bool = setting(FLAG)
    remat: str = setting(one_of(*POLICIES))
    family: str = setting(one_of(*FAMILIES))
    kv_heads: int | None = setting(none_or(WIDTH))
    head_width: int | None = setting(none_or(WIDTH))
    mlp_width: int | None = setting(none_or(whole(1, 2**20)))
    norm_eps: float = setting(real(0, 1, above=True, below=True))
    rope_theta: float = setting(real(1, 1e12))
    rope_scaling: float | tuple[float, float, float, int] | None = setting(none_or(SCALING))
    rope_local_theta: float | None = setting(none_or(real(1, 1e12)))
    sliding_window: int | None = setting(none_or(POSITIONS))
    sliding_window_pattern: int | None = setting(none_or(LAYERS))
    query_pre_attn_scalar: float | None = setting(none_or(ABOVE_ZERO))
    attention_cap: float | None = setting(none_or(ABOVE_ZERO))
    logit_cap: float | None = setting(none_or(ABOVE_ZERO))
    tied: bool = setting(FLAG)

    @property
    def flavour(self) -> BlockFlavour:
        """Of the blocks."""
        family, scaling, local = FAMILIES[self.family], self.rope_scaling, self.rope_local_theta
        if isinstance(scaling, int | float):
            rotary = Rotary(self.rope_theta, factor=scaling)
        else:
            rotary = Rotary(self.rope_theta, None if scaling is None else RotaryScaling(*scaling))
        return replace(
            family,
            kv_heads=self.kv_heads,
            rotary=rotary if family.positions == "rotary" else family.rotary,
            local_rotary=None if local is None else Rotary(local),
            query_pre_attn_scalar=self.query_pre_attn_scalar,
            attention_cap=self.attention_cap,
        )

    @property
    def size_of_head(self) -> int:
        """Width of each head."""
        return self.head_width or self.width // self.heads

    @property
    def decoder_options(self) -> dict[str, Any]:
        """The values of a `models.DecoderConfig` that the section says."""
        return {
            "layers": self.layers,
            "heads": self.heads,
            "head_width": self.size_of_head,
            "max_positions": self.max_positions,
            "scan": self.scan,
            "remat": self.remat,
            "eps": self.norm_eps,
            "flavour": self.flavour,
            "windows": self.windows,
        }

    @property
    def windows(self) -> tuple[int | None, ...]:
        """Of each layer, see `models.DecoderConfig`."""
        return layer_windows(self.layers, self.sliding_window, self.sliding_window_pattern)


def layer_windows(layers: int, window: int | None, pattern: int | None) -> tuple[int | None, ...]:
    """The window of each layer where the last of each so many has none; without windows it is empty."""
    if window is None:
        return ()
    return tuple(None if pattern and layer % pattern == 0 else window for layer in range(1, layers + 1))


def check_blocks(path: str, section: LanguageModelSection) -> None:
    """Checks sizes against each other.

    Args:
      path: where the section stands, as errors name it.
      section: the sizes.

    Raises:
      UserError: some do not go together; says which.
    """
    if section.head_width is None and section.width % section.heads:
        raise UserError(
            f"{path}.width {section.width} is not a multiple of its {section.heads} heads; take another, or set "
            "head_width"
        )
    if section.heads % (section.kv_heads or 1):
        raise UserError(
            f"{path}.kv_heads is {section.kv_heads}, which does not divide its {section.heads} heads: take a divisor"
        )
    if section.flavour.positions == "rotary" and section.size_of_head % 2:
        raise UserError(
            f"{path}.width {section.width} gives each of its {section.heads} heads an odd width, and rotary positions "
            "rotate pairs: take another"
            if section.head_width is None
            else f"{path}.head_width is {section.head_width}, and rotary positions rotate pairs: take an even one"
        )
