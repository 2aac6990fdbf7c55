"""What every source of captioned motions hands on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

PLACE = "place"
"""Key of the numbers that say where a second person is."""


@dataclass(frozen=True)
class Clip:
    """A captioned motion of one person, or of several at the same time.

    Attributes:
      id: name of the clip, unique in its source.
      features: raw (not normalised) features of the first person.
      captions: sentences that describe the motion.
      labels: what a measurement can check, e.g. {"actions": [{"action": "walk", "direction": "forward"}]}.
      others: features of the further persons, each as long as those of the first, in its own frame of reference.
      numbers: named numbers that the features do not hold, such as where a second person is in the frame of the first,
        in the first frame and then once a second: {"place": (yaw in radians, x and z in metres, yaw, x, z, ...)}; see
        `motion.pairs`.
    """

    id: str
    features: Float[np.ndarray, "frames features"]
    captions: tuple[str, ...]
    labels: dict[str, Any] = field(default_factory=dict)
    others: tuple[Float[np.ndarray, "frames features"], ...] = ()
    numbers: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def persons(self) -> tuple[Float[np.ndarray, "frames features"], ...]:
        """Features of every person."""
        return (self.features, *self.others)
