"""What passes between the data and the systems: samples laid out, and rows of them.

A *row* holds one or several samples, told apart by their segment. Each modality has its own dense arrays of slots;
a slot's position says where it stands in its sample's interleaved sequence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from flax import struct
from jaxtyping import Bool, Float, Int, UInt


@dataclass(frozen=True)
class Slots:
    """One modality's part of a laid-out sample.

    Attributes:
      ids: modality-local token ids.
      positions: places in the interleaved sequence, from 0.
      attended: whether the slot may be a key; others may still query.
    """

    ids: Int[np.ndarray, "slots"]
    positions: Int[np.ndarray, "slots"]
    attended: Bool[np.ndarray, "slots"]


@dataclass(frozen=True)
class Sample:
    """What a layout lays out: a captioned clip, a task, and the draws that decide its prompt.

    Attributes:
      number: the sample's number in its epoch; seeds every random draw that belongs to it.
      frames: length of the (cropped) clip.
      caption: the sentence that goes with it.
      subtask: name of the sub-task whose templates are used.
      picks: two numbers in [0, 1) that choose the input and the output template.
      coins: two numbers in [0, 1); below 0.5 the caption in the input (output) is quoted.
    """

    number: int
    frames: int
    caption: str
    subtask: str
    picks: tuple[float, float] = (0.0, 0.0)
    coins: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Example:
    """One sample as a system's layout made it: what a row is packed from.

    Attributes:
      number: the sample's number.
      streams: the slots of each modality.
      targets: for each text slot the id at its position + 1.
      weights: weight of that target in the text loss; 0 leaves it out.
      clips: (start, stop) frames of the sample's clip, one entry for each piece to encode.
      inputs: for each motion slot the (clip, chunk) that fills it, or (-1, 0) for its token's own embedding.
      outputs: (motion slots of the holders, clip that they stand for or -1), one entry per clip to generate.
      blind: number of text targets whose predecessor is a motion slot, which no text slot can predict.
    """

    number: int
    streams: dict[str, Slots] = field(default_factory=dict)
    targets: Int[np.ndarray, "slots"] | None = None
    weights: Float[np.ndarray, "slots"] | None = None
    clips: tuple[tuple[int, int], ...] = ()
    inputs: Int[np.ndarray, "slots 2"] | None = None
    outputs: tuple[tuple[tuple[int, ...], int], ...] = ()
    blind: int = 0


Layout = Callable[[Sequence[Sample]], list[Example]]
"""A system's way to lay samples out; pure, and the same for one sample as for many."""


class StreamSlots(struct.PyTreeNode):
    """One modality's slots of a batch of rows; segment 0 is padding."""

    ids: Int[np.ndarray, "rows slots"]
    positions: Int[np.ndarray, "rows slots"]
    segments: Int[np.ndarray, "rows slots"]
    attended: Bool[np.ndarray, "rows slots"]


class Batch(struct.PyTreeNode):
    """Rows of packed samples.

    Clips lie in buckets of rising length; `clip`, `inputs` and `output_clip` count through the buckets in order.

    Attributes:
      streams: the slots of each modality; empty for a stage that only sees clips.
      targets: for each text slot the id at its position + 1.
      weights: weight of each target in the text loss.
      clips: one array per bucket, normalised features, zero beyond a clip's own frames.
      clip_frames: valid frames of every clip; 0 marks an empty place.
      clip_seeds: seed of every clip's draws: unique to (sample, clip of that sample).
      inputs: for each motion slot (clip, chunk), or (-1, 0).
      outputs: motion slots whose hidden states are the condition of one generated clip.
      output_clip: the clip that is the target; -1 marks an empty place.
      output_seeds: seed of every output's draws.
      blind: targets that no text slot can predict, per row.
      samples: numbers of the samples in each row; -1 marks an empty place.
    """

    streams: dict[str, StreamSlots]
    targets: Int[np.ndarray, "rows slots"]
    weights: Float[np.ndarray, "rows slots"]
    clips: tuple[Float[np.ndarray, "rows clips frames features"], ...]
    clip_frames: Int[np.ndarray, "rows clips"]
    clip_seeds: UInt[np.ndarray, "rows clips"]
    inputs: Int[np.ndarray, "rows slots 2"]
    outputs: Int[np.ndarray, "rows outputs holders"]
    output_clip: Int[np.ndarray, "rows outputs"]
    output_seeds: UInt[np.ndarray, "rows outputs"]
    blind: Int[np.ndarray, "rows"]
    samples: Int[np.ndarray, "rows samples"]
