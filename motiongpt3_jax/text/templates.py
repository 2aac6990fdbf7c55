"""Templates: for every sub-task the ways to ask and the ways to answer.

A file of templates is JSON as the official code has it:

    {"Text-to-Motion": {"caption": {"class": "t2m", "input": ["Show <Caption_Placeholder>"], "output": [...]}}}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "templates"

BUILT_IN = {
    "text": ("text",),
    "t2m_pretrain": ("t2m_pretrain",),
    "m2t_pretrain": ("m2t_pretrain",),
    "pretrain": ("t2m_pretrain", "m2t_pretrain", "pred_pretrain"),
    "instructions": ("text_to_motion", "motion_to_text", "motion_to_motion"),
    "witht2t_instructions": ("text_to_motion", "motion_to_text", "motion_to_motion", "text_to_text"),
}
"""The files that each built-in set is made of."""

GROUPS = {"Text-to-Motion": "t2m", "Motion-to-Text": "m2t", "Motion-to-Motion": "", "Text-to-Text": "t2t", "Text": ""}
"""What a group's sub-tasks are called by; those of a group without a word go by their own."""

KEYS = {
    "caption_framelen": "framelen",
    "caption_seclen": "seclen",
    "prediction": "pred",
    "predict": "pred",
    "in-between": "inbetween",
}
"""Sub-tasks with a shorter name than their key."""


@dataclass(frozen=True)
class Pieces:
    """The parts of a clip that a task needs.

    Attributes:
      inputs: how many of them the model reads; it makes the others.
      cuts: where each begins and ends, as parts of the clip.
    """

    inputs: int
    cuts: tuple[tuple[float, float], ...]

    def ranges(self, frames: int) -> list[tuple[int, int]]:
        """First frame and end of each piece of a clip with so many frames."""
        return [(int(start * frames), int(stop * frames)) for start, stop in self.cuts]


WHOLE = (0.0, 1.0)
PIECES = {
    "t2m": Pieces(0, (WHOLE,)),
    "n2m": Pieces(0, (WHOLE,)),
    "m2t": Pieces(1, (WHOLE,)),
    "predict": Pieces(1, ((0.0, 0.2), (0.2, 1.0))),
    "inbetween": Pieces(2, ((0.0, 0.25), (0.75, 1.0), WHOLE)),
    "t2t": Pieces(0, ()),
    "n2t": Pieces(0, ()),
    "text": Pieces(0, ()),
}
"""Pieces of each task: the first ones are read, the others made."""


@dataclass(frozen=True)
class Subtask:
    """A way to use a captioned clip, with its templates.

    Attributes:
      name: unique among the sub-tasks that are loaded together.
      task: its entry of `PIECES`.
      inputs: templates of the question; see `fill_input`.
      outputs: templates of the answer.
    """

    name: str
    task: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def load_templates(name_or_path: str | Path) -> dict[str, Subtask]:
    """Sub-tasks by name, in the order of their files.

    Args:
      name_or_path: one of `BUILT_IN`, or a JSON file.

    Raises:
      FileNotFoundError: neither.
      ValueError: the file does not hold templates.
    """
    built_in = BUILT_IN.get(str(name_or_path))
    paths = [FOLDER / f"{file}.json" for file in built_in] if built_in else [Path(name_or_path)]
    subtasks: dict[str, Subtask] = {}
    for path in paths:
        for subtask in _read(path):
            if subtask.name in subtasks:
                raise ValueError(f"{path}: two sub-tasks are called {subtask.name!r}; rename one")
            subtasks[subtask.name] = subtask
    return subtasks


def _read(path: Path) -> list[Subtask]:
    if not path.is_file():
        raise FileNotFoundError(f"no templates {str(path)!r}: give a JSON file or one of {', '.join(BUILT_IN)}")
    try:
        groups = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file: {error}") from error
    if not isinstance(groups, Mapping) or not all(isinstance(group, Mapping) for group in groups.values()):
        raise ValueError(f"{path} is no file of templates: expected {{group: {{sub-task: {{class, input, output}}}}}}")
    return [
        _subtask(f"{path}: {group} / {key}", _name(group, key), entry)
        for group, entries in groups.items()
        for key, entry in entries.items()
    ]


def _subtask(where: str, name: str, entry: Any) -> Subtask:
    if not isinstance(entry, Mapping) or entry.get("class") not in PIECES:
        raise ValueError(f'{where}: "class" must be one of {", ".join(PIECES)}')
    for side in ("input", "output"):
        lines = entry.get(side)
        if not isinstance(lines, list) or not lines or not all(isinstance(line, str) for line in lines):
            raise ValueError(f'{where}: "{side}" must be a list of at least one template')
    return Subtask(name, entry["class"], tuple(entry["input"]), tuple(entry["output"]))


def _name(group: str, key: str) -> str:
    key = KEYS.get(key, key).lower().replace("-", "_")
    prefix = GROUPS.get(group, group.lower().replace("-", "_"))
    return key if prefix in ("", key) else f"{prefix}_{key}"
