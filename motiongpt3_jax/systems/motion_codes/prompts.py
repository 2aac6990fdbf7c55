"""Instruction templates as parts of words and motions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from motiongpt3_jax.systems.motion_codes.pieces import Part, Piece, masked_motion, motion, split_at_motions
from motiongpt3_jax.systems.motion_codes.tokens import FRAMES_PER_CODE, MotionTokens, codes_of
from motiongpt3_jax.text import ALL_TASKS, Subtask, Task, fill, load_templates
from motiongpt3_jax.text.subtasks import PLACEHOLDERS
from motiongpt3_jax.text.tasks import Share


@dataclass(frozen=True)
class Filling:
    """What the placeholders of a template stand for.

    Attributes:
      caption: the sentence.
      length: of the motion, in frames (officially in codes while training).
      fps: of these in a second.
      coin: below 0.5 the caption is put in double quotes.
      motions: the codes of each motion, in the order in which they appear.
      masks: codes that are hidden between two of them.
    """

    caption: str = ""
    length: int = 0
    fps: float = 20.0
    coin: float = 1.0
    motions: Sequence[Piece] = ()
    masks: int = 0


def fill_parts(template: str, filling: Filling, tokens: MotionTokens, official: bool) -> list[Part]:
    """A template with its placeholders filled in: words, and each motion as ids.

    Args:
      template: text with placeholders.
      filling: what they stand for.
      tokens: ids of motions.
      official: whether a caption that has quotes is quoted again, and <Framelen_Placeholder> stays as it is.
    """
    caption, coin, stays = filling.caption, filling.coin, {}
    if official:
        caption, coin = f'"{caption}"' if coin < 0.5 else caption, 1.0
        stays = {"<Framelen_Placeholder>": "<Framelen_Placeholder>"}
    motions = iter(filling.motions)
    parts: list[Part] = []
    for number, part in enumerate(split_at_motions(template)):
        if number % 2 == 0:
            parts.append(fill(part, caption, filling.length, coin, stays, filling.fps) if part else "")
        elif PLACEHOLDERS[part] == 1:
            parts.append(motion(tokens, next(motions)))
        else:
            parts.append(masked_motion(tokens, next(motions), filling.masks, next(motions)))
    return parts


def load_subtasks(name_or_path: str | Path, official: bool = False) -> dict[str, Subtask]:
    """The sub-tasks of a set of templates, by name, see `text.load_templates`.

    The official file has two empty questions, and <Framelen_Placeholder> in 48 others. Unless `official`, the empty
    ones are left out where there are others; see `fill_parts` for the placeholder.
    """
    subtasks = load_templates(name_or_path, ALL_TASKS)
    return subtasks if official else {name: _without_blanks(subtask) for name, subtask in subtasks.items()}


def _without_blanks(subtask: Subtask) -> Subtask:
    lines = tuple(line for line in subtask.inputs if line.strip())
    return replace(subtask, inputs=lines or subtask.inputs)


def hidden_codes(frames: int, head: int, tail: int) -> int:
    """How many masks stand between the codes of a beginning and an end of so many frames; at least one."""
    return max(codes_of(frames) - codes_of(head) - codes_of(tail), 1)


def official_cuts(codes: Piece, task: Task, length: int) -> tuple[list[Piece], list[Piece], int]:
    """The codes of what is given and of what is to be made, as the official code cuts those of the whole clip.

    Args:
      codes: of the whole clip.
      task: what is asked for.
      length: what the official code takes for the clip's frames: in training the number of its codes, so that a
        prefix has 5 % instead of 20 %.

    Returns:
      The codes of each given motion, of each motion to be made, and how many are hidden between two given ones.
    """

    def place(share: float) -> int:
        return int(share * (length / FRAMES_PER_CODE) + 1) - 1

    def cut(span: Share) -> Piece:
        return codes.cut(slice(place(span[0]) if span[0] else 0, place(span[1]) if span[1] < 1 else None))

    hidden = place(task.input_spans[1][0]) - place(task.input_spans[0][1]) if len(task.input_spans) > 1 else 0
    return [cut(span) for span in task.input_spans], [cut(span) for span in task.output_spans], hidden
