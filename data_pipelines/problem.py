"""Problems of a data folder, each with where it is and what to do."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

SHOWN = 5
"""Problems that a summary has in full."""


@dataclass(frozen=True)
class Problem:
    """Something that keeps a clip, or a part of it, from being used.

    Attributes:
      file: where, from the folder that was checked; "." is the folder itself.
      line: which line, from 1; None when it is the whole file.
      what: what is wrong.
      advice: what to do.
      severity: "bad" is broken; "note" is left out by the rules, as clips that are too short; "odd" is used, and is
        hardly what was meant.
    """

    file: str
    line: int | None
    what: str
    advice: str
    severity: Literal["bad", "note", "odd"] = "bad"

    @property
    def bad(self) -> bool:
        """Whether this is broken, and not merely left out."""
        return self.severity == "bad"

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.what}; {self.advice}"


def summary(problems: Sequence[Problem], folder: object) -> str:
    """Summarise problems: how many there are, and the first few in full."""
    lines = [f"'{folder}' has {len(problems)} problem{'s' * (len(problems) != 1)}:"]
    lines += [f"  {problem}" for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"  ... and {len(problems) - SHOWN} more")
    return "\n".join(lines)


def without_option(note: str) -> str:
    """Strip the option from a note on a single file; it does not help with a folder."""
    return re.split(r"[:;] ", note, maxsplit=1)[0]
