"""Latents of a data set's clips before training, where steps do not compute them (`config.data.latents = "cached"`)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from motiongpt3_jax.batch import ClipRange, RowShape
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3.flops import encode_flops
from motiongpt3_jax.systems.motiongpt3.modules import Modules
from motiongpt3_jax.text import Task


@dataclass(frozen=True)
class LatentEncoder:
    """The frozen VAE's posterior of whole clips and of the parts that tasks show; see `ClipEncoder`.

    Attributes:
      modules: the model's parts.
      tasks: those of the stage.
    """

    modules: Modules
    tasks: tuple[Task, ...]
    patterns = ("vae/.*",)
    dtype = "float32"

    def row_shape(self, shape: RowShape) -> RowShape:
        """As many clips of any length, each as its mean and log-variance."""
        if not shape.clips:
            return shape
        longest, places = shape.clips[-1][0], sum(count for _, count in shape.clips)
        return replace(shape, clips=((longest, places),), encoded=self.count(longest))

    def ranges(self, frames: int) -> Sequence[ClipRange]:
        """Every part of the clip that one of the tasks gives or makes."""
        return sorted({ClipRange(*piece) for task in self.tasks for piece in task.ranges(frames)})

    def count(self, frames: int) -> int:
        """Mean and log-variance of every channel, however many frames there are."""
        del frames
        return 2 * self.modules.config.vae.latents * self.modules.config.vae.width

    def encode(
        self, variables: Variables, features: Float[Array, "clips frames features"], frames: Int[Array, "clips"]
    ) -> Float[Array, "clips numbers"]:
        """Means, then log-variances."""
        vae, params = self.modules.vae, {"params": variables.params["vae"]}
        posterior = vae.apply(params, features, frames, method="encode")
        return jnp.concatenate([x.reshape(len(x), -1) for x in posterior], axis=1)

    def flops(self, frames: Sequence[int]) -> float:
        """Those of the VAE's encoder."""
        return sum(encode_flops(self.modules.config.vae, count) for count in frames)
