"""Notes to the user, as Python warnings."""

import os
import sys
import warnings
from pathlib import Path

PACKAGE = f"{Path(__file__).parent.parent}{os.sep}"


class Note(UserWarning):
    """A result may not be what was asked for: words or tasks that a model never saw, letters that no font has.

    `warnings.simplefilter("ignore", motiongpt3_jax.Note)` silences them; the commands print them as lines that begin
    with "note:".
    """


def note(text: str) -> None:
    """Warn with a `Note` at the caller's line outside of this package; once, while the text is the same."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, Note, stacklevel=level)
