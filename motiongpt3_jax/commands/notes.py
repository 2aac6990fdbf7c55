"""Warnings of the kind `Note` as lines on the console, and a hint at missing quotes."""

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from motiongpt3_jax.motion.notes import Note


@contextmanager
def notes_as_lines() -> Iterator[None]:
    """Prints each `Note` once, as a line on stderr; other warnings are shown as ever."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", Note)
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, Note):
                print(f"note: {message}", file=sys.stderr, flush=True)
            else:
                usual(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def hint_quotes(sentences: Sequence[str], option: str) -> None:
    """Says so when sentences are single words, as a shell makes them of one that stands in no quotes."""
    if len(sentences) > 1 and not any(len(sentence.split()) > 1 for sentence in sentences):
        print(
            f"note: {len(sentences)} sentences of one word each; if they are one, put it in quotes: "
            f'{option}"{" ".join(sentences)}"',
            file=sys.stderr,
        )
