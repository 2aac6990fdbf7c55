"""Codes of a data set's clips before training, where the steps do not compute them (`config.data.codes = "cached"`)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jaxtyping import Array, Float, Int

from motiongpt3_jax.batch import ClipRange, RowShape
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motion_codes.codes import codes_of_clips
from motiongpt3_jax.systems.motion_codes.drafts import encoded_ranges
from motiongpt3_jax.systems.motion_codes.flops import encode_flops
from motiongpt3_jax.systems.motion_codes.modules import Modules
from motiongpt3_jax.systems.motion_codes.tokens import codes_of
from motiongpt3_jax.text import Task


@dataclass(frozen=True)
class CodeEncoder:
    """The frozen tokenizer of motion over whole clips and over the parts that tasks show; see `ClipEncoder`.

    Attributes:
      modules: the model's parts.
      tasks: those of the stage.
      official: whether parts are cut from the codes of the whole clip, without frames beyond a multiple of four.
    """

    modules: Modules
    tasks: tuple[Task, ...]
    official: bool
    patterns = ("vqvae/.*",)
    dtype = "int32"

    def row_shape(self, shape: RowShape) -> RowShape:
        """Codes are tokens: rows hold no clips."""
        return replace(shape, clips=())

    def ranges(self, frames: int) -> Sequence[ClipRange]:
        """The whole clip, and every part of it that one of the tasks gives or makes."""
        return encoded_ranges(self.tasks, frames, self.official)

    def count(self, frames: int) -> int:
        """One code for every four frames, the last ones included."""
        return codes_of(frames)

    def encode(
        self, variables: Variables, features: Float[Array, "clips frames features"], frames: Int[Array, "clips"]
    ) -> Int[Array, "clips codes"]:
        """The codes of clips."""
        return codes_of_clips(self.modules, variables, features, frames)

    def flops(self, frames: Sequence[int]) -> float:
        """Those of the encoder and of the distances to the codebook."""
        return encode_flops(self.modules.config.vqvae, frames)
