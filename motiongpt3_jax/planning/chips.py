"""Specifications of TPU chips: HBM size and bandwidth, interconnect; peak FLOP/s are those that MFU is taken of.

Sources:
  HBM size and bandwidth: the system architecture pages of Google Cloud (cloud.google.com/tpu/docs/v4, /v5e, /v5p,
    /v6e, /tpu7x), a table "Key chip specifications" each.
  ICI: one direction of one link, from "How to Scale Your Model" (jax-ml.github.io/scaling-book/tpus), which agrees with
    the totals of those pages (v5e 1,600 Gbit/s over 4 links: 50 GB/s raw, 45 measured). tpu7x: 9,600 Gbit/s over 6
    links, times the same 9 tenths.
  Pods and the data-centre network: the same pages of Google Cloud, a table "Key Pod specifications"; of v5e 6.4 Tbit/s
    for 256 chips, of v6e 25.6 Tbit/s for 256, of v5p 50 Gbit/s for each.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.parallel.product_rate import PUBLISHED
from motiongpt3_jax.parallel.topology import split_topology

PRODUCTS = 0.7
"""Share of a chip's peak at which matrix products of a train step are counted."""


@dataclass(frozen=True)
class Chip:
    """A generation of chips.

    Attributes:
      flops: bfloat16 FLOP/s at the peak.
      hbm: bytes of high-bandwidth memory.
      hbm_rate: bytes a second from and to it.
      link: bytes a second over one link of the interconnect, in one direction.
      axes: of the torus that links chips.
      wrap: chips along an axis from which on it is closed to a ring.
      pod: chips that are linked at most.
      network: bytes a second from a chip to other slices, over the data-centre network; None where nobody says.
    """

    flops: float
    hbm: float
    hbm_rate: float
    link: float
    axes: int
    wrap: int
    pod: int
    network: float | None = None


CHIPS: Mapping[str, Chip] = {
    "v4": Chip(PUBLISHED["TPU v4"], 32 * 2**30, 1228e9, 45e9, axes=3, wrap=4, pod=4096),
    "v5e": Chip(PUBLISHED["TPU v5 lite"], 16 * 2**30, 819e9, 45e9, axes=2, wrap=16, pod=256, network=3.125e9),
    "v5p": Chip(PUBLISHED["TPU v5p"], 95 * 2**30, 2765e9, 90e9, axes=3, wrap=4, pod=8960, network=6.25e9),
    "v6e": Chip(PUBLISHED["TPU v6 lite"], 32 * 2**30, 1640e9, 90e9, axes=2, wrap=16, pod=256, network=12.5e9),
    "tpu7x": Chip(PUBLISHED["TPU7x"], 192 * 2**30, 7380e9, 180e9, axes=3, wrap=4, pod=9216),
}
"""By the names that libtpu's topologies begin with."""


@dataclass(frozen=True)
class Slice:
    """Chips that work together, of one slice or of several that a network links.

    Attributes:
      name: such as "v5e:16x16", which is libtpu's; of several slices with their number, "4xv5e:16x16".
      generation: of the chips.
      sides: chips along each axis of a slice.
      slices: how many there are.
    """

    name: str
    generation: str
    sides: tuple[int, ...]
    slices: int = 1

    @classmethod
    def of(cls, name: str) -> "Slice":
        """The slice of a name.

        Raises:
          UserError: it is none.
        """
        slices, one = split_topology(name)
        match = re.fullmatch(r"([\w.]+):([1-9]\d{0,4}(?:x[1-9]\d{0,4})*)", one)
        if not match:
            raise UserError(f"--topology {name}: write a generation and a shape, for example v5e:4x4 or v5p:2x2x2")
        return cls(name, match[1], tuple(map(int, match[2].split("x"))), slices)

    @property
    def chips(self) -> int:
        """How many there are."""
        return self.slices * math.prod(self.sides)

    @property
    def chip(self) -> Chip:
        """What each can do.

        Raises:
          UserError: nobody has written down what chips of this generation can do.
        """
        if self.generation not in CHIPS:
            raise UserError(f"--topology {self.name}: no such chips are known; there are {', '.join(CHIPS)}")
        return CHIPS[self.generation]

    def check_described(self) -> None:
        """Raises UserError where nobody wrote down what these chips can do, or the network between several slices."""
        if self.chip.network is None and self.slices > 1:
            raise UserError(
                f"--topology {self.name}: nobody says how fast the network between slices of {self.generation} is; "
                "plan one slice"
            )

    def ring_rate(self, group: int) -> float:
        """Bytes a second with which a chip sends around the rings that a group of chips forms.

        A group takes the slice's longest axes first, as many as it fills. Along an axis that is closed to a ring a chip
        sends both ways at once; along an open one, or a part of one, the same data make the way there and back.
        """
        rate, left = 0.0, group
        for side in sorted(self.sides, reverse=True):
            if left <= 1:
                break
            rate += self.chip.link * (2 if left >= side >= self.chip.wrap else 1)
            left = -(-left // side)
        return rate or self.chip.link
