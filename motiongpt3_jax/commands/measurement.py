"""What a benchmark measured: medians, rates, MFU, and the same in words."""

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

import jax

from motiongpt3_jax.parallel.product_rate import published_rate

PRODUCT = 2 * 4096**3
"""FLOPs of a product of two 4096 x 4096 matrices."""


@dataclass(frozen=True)
class Measurement:
    """What was measured.

    Attributes:
      what: train, generate, caption, encode, or "vae train", "vae encode", "vae decode".
      config: its name.
      device: what it ran on.
      first_seconds: the first call, compilation included.
      median_seconds: the median of the calls after it.
      repeats: how many they were.
      samples_per_second, tokens_per_second: at the median; tokens are useful slots of all modalities, or, for
        captions, tokens written.
      shares: shares of slots and frames that held something.
      requests: answered at once; 1 for a training step.
      phases: seconds of each phase of an answer at the median, where each waits for its end.
      products: how many products of two 4096 x 4096 matrices take as long at the rate of large products that is
        measured in the same run, of all devices and in the config's dtype; None where it is not measured.
      flops: of the matrix products that real tokens and frames need; None where the system does not count them.
      phase_flops: those of each phase.
    """

    what: str
    config: str
    device: str
    first_seconds: float
    median_seconds: float
    repeats: int
    samples_per_second: float
    tokens_per_second: float
    shares: dict[str, float] = field(default_factory=dict)
    requests: int = 1
    phases: dict[str, float] = field(default_factory=dict)
    products: float | None = None
    flops: float | None = None
    phase_flops: dict[str, float] = field(default_factory=dict)

    @property
    def mfu(self) -> float | None:
        """Rate of the FLOPs that real tokens need, as a share of the measured rate of large products."""
        return self.flops / (PRODUCT * self.products) if self.flops and self.products else None

    @property
    def phase_mfu(self) -> dict[str, float]:
        """The same of each phase in its own time."""
        if not self.products:
            return {}
        rate = PRODUCT * self.products / self.median_seconds
        return {name: count / (self.phases[name] * rate) for name, count in self.phase_flops.items() if count}

    @property
    def published_mfu(self) -> float | None:
        """The same as a share of the published peak of the devices, in bfloat16; None where no table has it."""
        peak = published_rate()
        return self.flops / (self.median_seconds * peak) if self.flops and peak else None

    @property
    def numbers(self) -> dict[str, Any]:
        """All of it as JSON takes it."""
        return {**asdict(self), "mfu": self.mfu, "phase_mfu": self.phase_mfu, "published_mfu": self.published_mfu}


def measurement(
    what: str,
    config: str,
    first: float,
    times: list[float],
    samples: float,
    tokens: float,
    shares: dict[str, float],
) -> Measurement:
    """The numbers at the median."""
    median = statistics.median(times)
    device = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    return Measurement(what, config, device, first, median, len(times), samples / median, tokens / median, shares)


def describe(result: Measurement) -> str:
    """The numbers for people."""
    shares = ", ".join(f"{name.replace('_', ' ')} {share:.0%}" for name, share in result.shares.items())
    of_phase = {name: f" (MFU {share:.0%})" for name, share in result.phase_mfu.items()}
    phases = ", ".join(f"{name} {seconds:.3g} s{of_phase.get(name, '')}" for name, seconds in result.phases.items())
    several = f", {result.requests} at once" if result.phases or result.products else ""
    if result.products:
        products = f"as long as {result.products:.2f} products of 4096 x 4096"
        phases = f"{phases}; {products}" if phases else products
    if result.mfu:
        phases += f"; {result.flops / 1e9:.4g} GFLOP for real tokens: MFU {result.mfu:.1%} of the rate of these"
    if result.published_mfu:
        phases += f", {result.published_mfu:.1%} of the published peak"
    return (
        f"{result.what} {result.config}{several} on {result.device}: median {result.median_seconds:.4g} s of "
        f"{result.repeats} (first {result.first_seconds:.3g} s), {result.samples_per_second:.4g} samples/s, "
        f"{result.tokens_per_second:.4g} useful tokens/s; "
        f"{'; '.join(filter(None, [phases, shares]))}"
    )
