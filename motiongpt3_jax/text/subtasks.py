"""Instruction templates (prompts) of the tasks, as JSON files hold them."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.text.tasks import TASKS, Task

PLACEHOLDERS: Mapping[str, int] = {
    "<Caption_Placeholder>": 0,
    "<Frame_Placeholder>": 0,
    "<Second_Placeholder>": 0,
    "<Framelen_Placeholder>": 0,
    "<Motion_Placeholder>": 1,
    "<Motion_Placeholder_s1>": 1,
    "<Motion_Placeholder_s2>": 1,
    "<Motion_Placeholder_Masked>": 2,
}
"""What templates may hold, and how many motions each stands for."""

PLACEHOLDER = re.compile(r"<[^<>]*Placeholder[^<>]*>")

TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "text": ("text",),
    "t2m_pretrain": ("t2m_pretrain",),
    "m2t_pretrain": ("m2t_pretrain",),
    "pretrain": ("t2m_pretrain", "m2t_pretrain", "m2m_pretrain"),
    "instructions": ("instructions",),
    "pairs": ("pairs",),
    "witht2t_instructions": ("instructions", "t2t_instructions"),
    "alpaca": ("alpaca",),
    "all_instructions": ("instructions", "length_instructions", "t2t_instructions"),
}
"""The sets of templates that come with the package, and the files that each is put together from."""

_GROUPS = {"Text-to-Motion": "t2m", "Motion-to-Text": "m2t", "Text-to-Text": "t2t"}
_CLASSES = ("l2m", "m2l")
_KEYS = {
    "caption_framelen": "framelen",
    "caption_seclen": "seclen",
    "prediction": "pred",
    "motion_prediction": "pred",
    "motion_inbetween": "inbetween",
}


@dataclass(frozen=True)
class Subtask:
    """One way to ask for a task.

    Attributes:
      name: unique among the sub-tasks of a set of templates.
      task: name of what is asked for.
      inputs: templates of the question, with placeholders.
      outputs: templates of the answer.
    """

    name: str
    task: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def load_templates(name_or_path: str | Path, tasks: Mapping[str, Task] = TASKS) -> dict[str, Subtask]:
    """The sub-tasks of a set of templates, by name.

    A file holds groups of sub-tasks, as the official ones do: {"Text-to-Motion": {"caption": {"class": "t2m",
    "input": ["Show <Caption_Placeholder>"], "output": ["<Motion_Placeholder>"]}}}. In "Text-to-Motion",
    "Motion-to-Text" and "Text-to-Text" a sub-task is called by its group and its key, here t2m_caption, unless the key
    is the group's short name already; in other groups by its key. One of class "l2m" or "m2l" is called by its class
    and its key.

    Args:
      name_or_path: a set that comes with the package (see `TEMPLATES`), or a JSON file of that structure.
      tasks: what there is to ask for, by name; the "class" of each sub-task is one of these.

    Raises:
      FileNotFoundError: no such set or file.
      UserError: the file is not as described; says where.
    """
    if str(name_or_path) in TEMPLATES:
        folder = files("motiongpt3_jax.text") / "templates"
        sources = [(f"{part}.json", (folder / f"{part}.json").read_bytes()) for part in TEMPLATES[str(name_or_path)]]
    else:
        path = Path(os.path.expanduser(name_or_path))
        if not path.is_file():
            known = ", ".join(TEMPLATES)
            raise FileNotFoundError(f"no templates {str(name_or_path)!r}: give a JSON file, or one of {known}")
        sources = [(str(path), path.read_bytes())]
    subtasks: dict[str, Subtask] = {}
    for source, content in sources:
        for group, key, entry in _entries(source, content):
            name = _name(group, key, entry)
            if name in subtasks:
                raise UserError(f"{source}: there are two sub-tasks called {name!r}; rename one")
            subtasks[name] = _subtask(name, entry, tasks, f"{source}: the sub-task {group!r} / {key!r}")
    return subtasks


def _name(group: str, key: str, entry: Any) -> str:
    task = entry.get("class") if isinstance(entry, dict) else None
    prefix = task if task in _CLASSES else _GROUPS.get(group, "")
    key = _KEYS.get(key, key).replace("-", "_")
    return key if prefix in ("", key) else f"{prefix}_{key}"


def _entries(source: str, content: bytes) -> list[tuple[str, str, Any]]:
    """(group, key, description) of each sub-task in a file."""
    try:
        groups = json.loads(content.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise UserError(f"{source} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{source} is not UTF-8 text: byte {error.start} cannot be read") from None
    if not isinstance(groups, dict) or not all(isinstance(group, dict) for group in groups.values()):
        raise UserError(f'{source} must hold groups of sub-tasks: {{"Text-to-Motion": {{"caption": {{...}}}}}}')
    entries = [(group, key, entry) for group, members in groups.items() for key, entry in members.items()]
    if not entries:
        raise UserError(f"{source} holds no sub-task")
    return entries


def _subtask(name: str, entry: Any, tasks: Mapping[str, Task], where: str) -> Subtask:
    if not isinstance(entry, dict) or not {"class", "input", "output"} <= entry.keys():
        raise UserError(f'{where} must have "class", "input" and "output"')
    task = entry["class"]
    if task not in tasks:
        raise UserError(f"{where} has the class {task!r}; there are {', '.join(tasks)}")
    for side in ("input", "output"):
        lines = entry[side]
        if not isinstance(lines, list) or not lines or not all(isinstance(line, str) for line in lines):
            raise UserError(f"{where}: its {side!r} must be a list of one or more texts")
    inputs, outputs = len(tasks[task].input_spans), len(tasks[task].output_spans)
    for line in entry["input"]:
        if _motions(line, where) > inputs:
            raise UserError(f"{where} is of class {task}, which is given {inputs} motions: {line!r} has more")
    for line in entry["output"]:
        if _motions(line, where) != outputs:
            raise UserError(f"{where} is of class {task}, which answers with {outputs} motions, unlike {line!r}")
    return Subtask(name, task, tuple(entry["input"]), tuple(entry["output"]))


def _motions(line: str, where: str) -> int:
    """How many motions the placeholders of a template stand for."""
    placeholders = PLACEHOLDER.findall(line)
    for placeholder in placeholders:
        if placeholder not in PLACEHOLDERS:
            raise UserError(f"{where} has the unknown placeholder {placeholder}; there are {', '.join(PLACEHOLDERS)}")
    return sum(PLACEHOLDERS[placeholder] for placeholder in placeholders)
