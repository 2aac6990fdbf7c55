"""What may be said of how a model answers, as keywords."""

from collections.abc import Mapping
from typing import Any, TypedDict

from motiongpt3_jax.errors import UserError


class Sampling(TypedDict, total=False):
    """How motions are sampled; see `MotionOptions`."""

    sampler: str
    steps: int
    guidance_scale: float
    temperature: float
    eta: float


class Decoding(TypedDict, total=False):
    """How text is decoded; see `TextOptions`."""

    banned: tuple[int, ...]
    max_new: int
    repetition_penalty: float
    temperature: float
    top_k: int
    top_p: float
    beams: int
    length_penalty: float
    stops: tuple[int, ...]


def check_names(given: Mapping[str, Any], known: type) -> None:
    """Raises UserError when a keyword is none of those that there are."""
    for name in given:
        if name not in known.__annotations__:
            raise UserError(f"there is no option {name!r}; there are: {', '.join(known.__annotations__)}")
