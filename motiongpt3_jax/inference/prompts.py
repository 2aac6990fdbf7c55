"""Prompts of a model: in the words that it was trained with, or as the official evaluation asks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.folder import ModelFolder
from motiongpt3_jax.systems.kind import SystemKind
from motiongpt3_jax.text import TASKS, Subtask, Task, check_words, fill, load_templates, of_role
from motiongpt3_jax.text.subtasks import PLACEHOLDER
from motiongpt3_jax.text.tasks import Role

UNITS = {"frames": "<Frame_Placeholder>", "seconds": "<Second_Placeholder>"}
"""Units in which a model may tell a length, and where the length stands in its answer."""

CAPTION = "<Caption_Placeholder>"
"""Where a sentence stands in a template."""


@dataclass(frozen=True)
class Prompts:
    """The questions of a trained model.

    Attributes:
      subtasks: what it was trained on, by name, those of the newest stage first.
      questions: how a task is asked whatever the sub-tasks are, as the model's folder says.
      tasks: what the system can be asked, by name.
      styles: how the official code of the system asks, by style and task.
      fps: frames in a second, for questions that say how long a motion is in seconds.
      learned: tasks that the model it started from had been trained on.
    """

    subtasks: Mapping[str, Subtask] = field(default_factory=dict)
    questions: Mapping[str, str] = field(default_factory=dict)
    tasks: Mapping[str, Task] = field(default_factory=lambda: TASKS)
    styles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    fps: float = 20.0
    learned: tuple[str, ...] = ()

    @classmethod
    def of(cls, folder: ModelFolder, stage: str) -> "Prompts":
        """What the stages of a model's config up to this one have taught; all of them, if it is none of them."""
        prompts = cls.of_config(folder.config, folder.kind, stage, folder.questions, folder.statistics.fps)
        return replace(prompts, learned=folder.learned)

    @classmethod
    def of_config(
        cls,
        config: Mapping[str, Any],
        kind: SystemKind,
        stage: str,
        questions: Mapping[str, str] | None = None,
        fps: float = 20.0,
    ) -> "Prompts":
        """What the stages of a config up to this one teach; all of them, if it is none of them."""
        run = config["run"]
        last = run.index(stage) + 1 if stage in run else len(run)
        subtasks: dict[str, Subtask] = {}
        for part in reversed(run[:last]):
            for name, subtask in _subtasks_of(config["stages"][part], kind):
                subtasks.setdefault(name, subtask)
        return cls(subtasks, questions or {}, kind.tasks, kind.styles, fps)

    def of_role(self, role: Role, persons: int = 1) -> Task:
        """The task of a role about so many persons.

        Raises:
          UserError: the system has none.
        """
        task = of_role(self.tasks, role, persons)
        if task is None and persons > 1:
            raise UserError(f"this model has no task of the kind '{role}' that is about {persons} people")
        if task is None:
            raise UserError(f"this model has no task of the kind '{role}'; its tasks are: {', '.join(self.tasks)}")
        return task

    def knows(self, task: str) -> bool:
        """Whether the model was trained on a task, or the one that it started from was."""
        return task in self.learned or any(subtask.task == task for subtask in self.subtasks.values())

    @property
    def wordings(self) -> list[str]:
        """Every way in which it was asked and answered in training, without the places that are filled in."""
        return [
            PLACEHOLDER.sub(" ", text)
            for subtask in self.subtasks.values()
            for text in (*subtask.inputs, *subtask.outputs)
        ]

    @property
    def chats(self) -> bool:
        """Whether it was trained on instructions: on a task that is asked for in several ways."""
        return any(len(subtask.inputs) > 1 for subtask in self.subtasks.values())

    def question(self, task: str, style: str = "train", caption: str = "", frames: int = 0, coin: float = 1.0) -> str:
        """The question of a task, with a placeholder for each motion.

        Args:
          task: its name.
          style: "train" asks in the words of training, others as the official code does.
          caption: the sentence that the question is about.
          frames: length of the motion that the question is about.
          coin: below 0.5 an official question puts the sentence in quotes.

        Raises:
          UserError: the style does not ask so, or the sentence holds a special token.
        """
        check_words(caption)
        if style == "train":
            return fill(self.template(task), caption, frames, 1.0, fps=self.fps)
        if task not in self.styles.get(style, {}):
            styles = [name for name, questions in self.styles.items() if task in questions]
            raise UserError(f"the style {style!r} has no question for this; there are: {', '.join(['train', *styles])}")
        return fill(self.styles[style][task], caption, frames, coin, fps=self.fps)

    def motion_question(self, sentence: str, style: str, seed: int, frames: int = 0, persons: int = 1) -> str:
        """The prompt of text to motion; the official evaluation quotes a sentence or not, as a coin of the seed falls.

        Raises:
          UserError: the style does not ask so, or tells a length that is not known; or the sentence holds a special
            token.
        """
        coin, task = np.random.default_rng(seed).uniform(), self.of_role("generate", persons).name
        if not frames and UNITS["frames"] in self.styles.get(style, {}).get(task, ""):
            raise UserError(f"the style {style!r} tells how long a motion is to be: ask for a length")
        return self.question(task, style, sentence, frames, coin)

    def unconditional_question(self) -> str:
        """The prompt of a motion of no sentence; empty where the model was not trained on that."""
        task = of_role(self.tasks, "move")
        return self.question(task.name) if task and self.knows(task.name) else ""

    def length_question(self, caption: str) -> tuple[str, str] | None:
        """(question, "frames" or "seconds") that asks how long a sentence takes; None when never trained.

        Raises:
          UserError: the sentence holds a special token.
        """
        check_words(caption)
        for unit, length in UNITS.items():
            for subtask in self.subtasks.values():
                answers_length = all(length in line and CAPTION not in line for line in subtask.outputs)
                if answers_length and PLACEHOLDER.findall(subtask.inputs[0]) == [CAPTION]:
                    return fill(subtask.inputs[0], caption, 0, 1.0), unit
        return None

    def reaction_question(self, sentence: str) -> str:
        """The prompt of a reaction to a given motion, with a sentence about both or without.

        Raises:
          UserError: the system makes none, or the sentence holds a special token.
        """
        check_words(sentence)
        task = self.of_role("react", 2)
        known = [line for subtask in self.subtasks.values() if subtask.task == task.name for line in subtask.inputs]
        fitting = [line for line in known if (CAPTION in line) == bool(sentence.strip())]
        return fill(next(iter(fitting or known), task.question), sentence, 0, 1.0, fps=self.fps)

    def template(self, task: str) -> str:
        """How a task is asked, with placeholders."""
        if task in self.questions:
            return self.questions[task]
        known = [subtask for subtask in self.subtasks.values() if subtask.task == task]
        for subtask in known:
            # The plainest question, where there are several sub-tasks of a task: no length in it.
            plain = [line for line in subtask.inputs if "<Frame_" not in line and "<Second_" not in line]
            if plain:
                return plain[0]
        return self.tasks[task].question


def sentence_of(text: str) -> str:
    """Decoded text as a sentence: no quotes or line breaks."""
    return text.replace("\n", " ").strip().strip('"').strip()


def _subtasks_of(stage: Mapping[str, Any], kind: SystemKind) -> Iterator[tuple[str, Subtask]]:
    if not stage.get("templates"):
        return
    try:
        subtasks = load_templates(stage["templates"], kind.tasks)
    except FileNotFoundError:
        # The model came without the templates that it was trained with.
        return
    chosen = {name for name, weight in stage.get("subtasks", ()) if weight > 0} or set(subtasks)
    yield from ((name, subtask) for name, subtask in subtasks.items() if name in chosen)
