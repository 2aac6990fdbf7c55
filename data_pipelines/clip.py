"""What every source of captioned motions hands on."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Clip:
    """A captioned motion.

    Attributes:
      id: name of the clip, unique in its source.
      features: raw (not normalised) features.
      captions: sentences that describe the motion.
      labels: what a measurement can check, e.g. {"actions": [{"action": "walk", "direction": "forward"}]}.
    """

    id: str
    features: Float[np.ndarray, "frames features"]
    captions: tuple[str, ...]
    labels: dict[str, Any] = field(default_factory=dict)
