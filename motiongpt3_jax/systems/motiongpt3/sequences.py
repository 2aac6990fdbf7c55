"""Rows of token ids as MotionGPT3's examples: text slots, motion slots, targets, what enters and leaves."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from motiongpt3_jax.batch import ClipRange, Example, Slots, seeds_of
from motiongpt3_jax.systems.motiongpt3.prompts import TokenIds


class TokenSequence(NamedTuple):
    """A sample as a row of tokenizer ids.

    Attributes:
      number: the sample's number.
      ids: tokenizer ids.
      attended: which of them may be keys; pads may not.
      answers: which of them are targets, if they are text.
      clips: frames of the clips: the inputs first, then those to generate.
      inputs: how many of `clips` fill input holders.
      start: position of the first id.
      encoded: of the clips, see `Example.encoded`.
    """

    number: int
    ids: Int[np.ndarray, "ids"]
    attended: Bool[np.ndarray, "ids"]
    answers: Bool[np.ndarray, "ids"]
    clips: tuple[ClipRange, ...]
    inputs: int
    start: int = 0
    encoded: tuple[Float[np.ndarray, "numbers"], ...] = ()


def sequence_examples(
    sequences: Sequence[TokenSequence],
    tokens: TokenIds,
    *,
    interleave: bool = False,
    unpredictable_targets: bool = False,
) -> list[Example]:
    """Splits rows of tokenizer ids by modality: one vectorised pass over all of them, one behind the other.

    Args:
      sequences: the samples.
      tokens: the special ids.
      interleave: whether the chunks of several input clips alternate.
      unpredictable_targets: whether to count targets that no text slot can predict.
    """
    if not sequences:
        return []
    lengths = np.array([len(each.ids) for each in sequences])
    of, place = _places(lengths)
    ids, attended, answers = (
        np.concatenate([getattr(each, name) for each in sequences]) for name in ("ids", "attended", "answers")
    )
    starts, inputs = (np.array([getattr(each, name) for each in sequences]) for name in ("start", "inputs"))
    motion = ids >= tokens.text_vocabulary
    local = np.where(motion, ids - tokens.text_vocabulary, ids).astype(np.int32)
    target, follows = np.append(ids[1:], 0).astype(np.int32), np.append(of[1:] == of[:-1], False)
    counts = follows & np.append(answers[1:], False)
    counts &= (target < tokens.text_vocabulary) & (target != tokens.end_of_motion)
    position = (place + starts[of]).astype(np.int32)

    words, parts = ~motion, np.bincount(of[~motion], minlength=len(sequences))
    columns = [local, position, attended, np.where(counts, target, 0).astype(np.int32), counts.astype(np.float32)]
    texts = _split([column[words] for column in columns], parts)

    slots = np.bincount(of[motion], minlength=len(sequences))
    moves, (of, place) = local[motion], _places(slots)
    sources = np.zeros((len(moves), 2), np.int32)
    sources[:, 0] = -1
    filled = np.flatnonzero(moves == tokens.input_holder - tokens.text_vocabulary)
    order, several = _rank(of[filled]), np.maximum(inputs, 1)[of[filled]]
    count = tokens.holders
    chunks = (order % several, order // several) if interleave else (order // count, order % count)
    sources[filled] = np.stack(chunks, axis=-1)
    motions = _split([moves, position[motion], attended[motion], sources], slots)

    holders = np.flatnonzero(moves == tokens.output_holder - tokens.text_vocabulary)
    outputs = np.bincount(of[holders], minlength=len(sequences)) // count
    holders = holders[_rank(of[holders]) < (outputs * count)[of[holders]]]
    of_output, output = _places(outputs)
    clips = inputs[of_output] + output
    clips = np.where(clips < np.array([len(each.clips) for each in sequences])[of_output], clips, -1)
    groups = _split([place[holders].reshape(-1, count).astype(np.int32), clips.astype(np.int32)], outputs)
    lost = np.zeros(len(sequences), int)
    if unpredictable_targets:
        lost = np.add.reduceat(counts & motion, np.cumsum(lengths) - lengths, dtype=int)
    return [
        Example(
            each.number,
            {"text": Slots(*text), "motion": Slots(*moved[:3], sources=moved[3])},
            each.clips,
            {
                "outputs": group,
                "output_clip": clip,
                "output_seeds": seeds_of(each.number, len(group)),
                "unpredictable": unpredictable,
            },
            each.encoded,
        )
        for each, text, moved, (group, clip), unpredictable in zip(sequences, texts, motions, groups, lost.tolist())
    ]


def sequence_example(
    number: int,
    ids: Int[np.ndarray, "ids"],
    attended: Bool[np.ndarray, "ids"],
    answers: Bool[np.ndarray, "ids"],
    tokens: TokenIds,
    clips: tuple[ClipRange, ...],
    *,
    inputs: int,
    interleave: bool = False,
    unpredictable_targets: bool = False,
    start: int = 0,
) -> Example:
    """One row of tokenizer ids, see `TokenSequence` and `sequence_examples`."""
    sequence = TokenSequence(number, ids, attended, answers, clips, inputs, start)
    options = {"interleave": interleave, "unpredictable_targets": unpredictable_targets}
    return sequence_examples([sequence], tokens, **options)[0]


def _places(counts: Int[np.ndarray, "samples"]) -> tuple[Int[np.ndarray, "entries"], Int[np.ndarray, "entries"]]:
    """(sample, place in the sample) of entries of which each sample has so many."""
    of = np.repeat(np.arange(len(counts)), counts)
    return of, np.arange(len(of)) - (np.cumsum(counts) - counts)[of]


def _rank(of: Int[np.ndarray, "entries"]) -> Int[np.ndarray, "entries"]:
    """The place of each entry among those of its sample, which lie side by side."""
    return np.arange(len(of)) - np.searchsorted(of, of)


def _split(columns: Sequence[np.ndarray], counts: Int[np.ndarray, "samples"]) -> Iterator[list[np.ndarray]]:
    """Views of the part of each sample in columns where so many entries of each follow each other."""
    start = 0
    for count in counts.tolist():
        yield [column[start : start + count] for column in columns]
        start += count
