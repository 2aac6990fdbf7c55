"""A captioned clip as MotionGPT3's sequence: text slots, motion slots, clips to encode, targets.

The sequence is `input + " \\n " + output + end`, where a motion is `<start_of_motion>`, four holders,
`<end_of_motion>`. Holders and masks are motion slots; everything else, the two markers included, is text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from motiongpt3_jax.batch import Example, Sample, Slots
from motiongpt3_jax.text import PIECES, Subtask, Tokenizer, compose, fill_input, fill_output

HOLDERS = 4
"""Motion slots that stand for one clip."""


@dataclass(frozen=True)
class LayoutOptions:
    """How sequences are laid out; each deviation from the official code has its official value.

    Attributes:
      slots: longest sequence; longer ones lose words of their longest stretch of text (official: 192, cut at the end).
      prompt_loss: whether words of the prompt are targets too (official: True).
      pad_loss: whether the sequence is padded to `slots` with end tokens that are targets (official: True).
      blind: whether targets that no text slot can predict count, each as ln(vocabulary) (official: True).
      interleave: whether the chunks of two input clips alternate (official: True) or follow each other.
      start: largest position at which a text-only sequence may start, so that all positions are trained.
    """

    slots: int = 192
    prompt_loss: bool = False
    pad_loss: bool = False
    blind: bool = False
    interleave: bool = False
    start: int = 16


@dataclass(frozen=True)
class SequenceLayout:
    """Lays samples out for the language stages.

    Attributes:
      tokenizer: text to ids.
      subtasks: templates of every sub-task, by name.
      options: how sequences are laid out.
    """

    tokenizer: Tokenizer
    subtasks: Mapping[str, Subtask]
    options: LayoutOptions = LayoutOptions()

    def __call__(self, samples: Sequence[Sample]) -> list[Example]:
        """One example per sample, each independent of the others."""
        prompts = [self._prompt(sample) for sample in samples]
        encoded = self.tokenizer.encode_spans([text for text, _ in prompts])
        return [
            self.example(sample, ids, ends, answer)
            for sample, (ids, ends), (_, answer) in zip(samples, encoded, prompts)
        ]

    def example(self, sample: Sample, ids: np.ndarray, ends: np.ndarray, answer: int) -> Example:
        """The example of one tokenised sequence.

        Args:
          sample: where it comes from.
          ids: tokenizer ids of the whole sequence.
          ends: for each id, where its characters end.
          answer: the character at which the answer begins.
        """
        subtask = self._subtask(sample.subtask)
        ids, answers = self._cut(ids, ends > answer)
        count = len(ids)
        if self.options.pad_loss:
            ids = np.pad(ids, (0, self.options.slots - count), constant_values=self.tokenizer.end)
            answers = np.pad(answers, (0, self.options.slots - count), constant_values=True)
        pieces = PIECES[subtask.task]
        clips = tuple(pieces.ranges(sample.frames))
        return sequence_example(
            sample.number,
            ids,
            np.arange(len(ids)) < count,
            answers | self.options.prompt_loss,
            self.tokenizer,
            clips,
            inputs=pieces.inputs,
            interleave=self.options.interleave,
            blind=self.options.blind,
            start=int(sample.picks[0] * (self.options.start + 1)) if subtask.task == "text" else 0,
        )

    def _subtask(self, name: str) -> Subtask:
        if name not in self.subtasks:
            raise ValueError(f"no templates for the sub-task {name!r}; there are: {', '.join(sorted(self.subtasks))}")
        return self.subtasks[name]

    def _prompt(self, sample: Sample) -> tuple[str, int]:
        """The sequence as text, and the character at which the answer begins: the space before its first word."""
        subtask = self._subtask(sample.subtask)
        question = subtask.inputs[int(sample.picks[0] * len(subtask.inputs))]
        answer = subtask.outputs[int(sample.picks[1] * len(subtask.outputs))]
        question = fill_input(question, sample.caption, sample.frames, sample.coins[0])
        answer = fill_output(answer, sample.caption, sample.frames, sample.coins[1])
        text = compose(question, answer)
        return text, len(compose(question, "", end=False)) - 1

    def _cut(self, ids: np.ndarray, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shortens a sequence to `slots`: officially at its end, else by words of its longest stretch of text."""
        excess = len(ids) - self.options.slots
        if excess <= 0:
            return ids, answers
        if self.options.pad_loss:
            return ids[: self.options.slots], answers[: self.options.slots]
        special = (ids >= self.tokenizer.base_vocabulary) | (ids == self.tokenizer.end)
        edges = np.flatnonzero(np.concatenate([[True], special, [True]]))
        longest = int(np.argmax(np.diff(edges)))
        stop = edges[longest + 1] - 1
        keep = np.ones(len(ids), bool)
        keep[max(stop - excess, edges[longest]) : stop] = False
        return ids[keep], answers[keep]


def sequence_example(
    number: int,
    ids: np.ndarray,
    attended: np.ndarray,
    answers: np.ndarray,
    tokenizer: Tokenizer,
    clips: tuple[tuple[int, int], ...],
    *,
    inputs: int,
    interleave: bool = False,
    blind: bool = False,
    start: int = 0,
) -> Example:
    """Splits a row of tokenizer ids by modality.

    Args:
      number: the sample's number.
      ids: tokenizer ids.
      attended: which positions may be keys; pads may not.
      answers: which positions are targets, if they are text.
      tokenizer: knows the special ids.
      clips: frames of the clips: the inputs first, then those to generate.
      inputs: how many of `clips` fill input holders.
      interleave: whether the chunks of several input clips alternate.
      blind: whether to count targets that no text slot can predict.
      start: position of the first id.
    """
    motion = ids >= tokenizer.text_vocabulary
    positions = np.arange(len(ids))
    target = np.append(ids[1:], 0)
    counts = np.append(answers[1:] & ~motion[1:] & (ids[1:] != tokenizer.end_of_motion), False)
    local = np.where(motion, ids - tokenizer.text_vocabulary, ids)
    holders = np.flatnonzero(local[motion] == tokenizer.output_holder - tokenizer.text_vocabulary)
    filled = np.flatnonzero(local[motion] == tokenizer.input_holder - tokenizer.text_vocabulary)
    source = np.full((int(motion.sum()), 2), (-1, 0), np.int32)
    order = np.arange(len(filled))
    if interleave:
        source[filled] = np.stack([order % max(inputs, 1), order // max(inputs, 1)], axis=-1)
    else:
        source[filled] = np.stack([order // HOLDERS, order % HOLDERS], axis=-1)
    groups = holders[: len(holders) // HOLDERS * HOLDERS].reshape(-1, HOLDERS)
    streams = {
        name: Slots(local[own].astype(np.int32), (positions[own] + start).astype(np.int32), attended[own])
        for name, own in (("text", ~motion), ("motion", motion))
    }
    return Example(
        number=number,
        streams=streams,
        targets=np.where(counts, target, 0)[~motion].astype(np.int32),
        weights=counts[~motion].astype(np.float32),
        clips=clips,
        inputs=source,
        outputs=tuple(
            (tuple(int(slot) for slot in group), inputs + i if inputs + i < len(clips) else -1)
            for i, group in enumerate(groups)
        ),
        blind=int((counts & motion).sum()) if blind else 0,
    )


def clip_layout(samples: Sequence[Sample]) -> list[Example]:
    """The layout of the VAE's stage: the clip alone."""
    return [Example(number=sample.number, clips=((0, sample.frames),)) for sample in samples]
