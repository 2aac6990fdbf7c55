"""One captioned motion, as every source of data gives it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Clip:
    """A captioned clip.

    Attributes:
      id: unique in its source.
      features: raw features (not normalised) at the source's frame rate.
      captions: sentences that each describe the whole clip.
      labels: what else is known of it, as plain JSON values.
    """

    id: str
    features: Float[np.ndarray, "frames features"]
    captions: tuple[str, ...]
    labels: dict[str, Any] = field(default_factory=dict)
