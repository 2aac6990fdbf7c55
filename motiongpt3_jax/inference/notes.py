"""Warnings on out-of-distribution requests: words and tasks that a model was not trained on."""

from collections.abc import Sequence

from motiongpt3_jax.inference.folder import ModelFolder
from motiongpt3_jax.motion.notes import note

NO_WORDS = (
    "'{}' does not say which words this model was trained on (words.json), as older and imported models do not: "
    "words that it never saw are not told"
)


def note_words(folder: ModelFolder, sentences: Sequence[str]) -> None:
    """Warns with a `Note` of words that a model never saw, or that its folder does not say which it saw."""
    if not any(sentence.strip() for sentence in sentences):
        return
    text = NO_WORDS.format(folder.path) if folder.words is None else folder.words.note(sentences)
    if text:
        note(text)


def note_task(known: bool, task: str) -> None:
    """Warns with a `Note` that a model was not trained on a task, unless it is `known`."""
    if not known:
        note(f"no stage of this model trained it on the task '{task}'; what it makes may not fit")
