"""The tasks (text to motion, captioning, prediction ...): inputs, outputs, and the simplest prompt of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

Share = tuple[float, float]
Role = Literal["generate", "move", "caption", "predict", "inbetween", "react", "text"]
"""What people do with a task: a motion from a sentence, any motion, a sentence for a motion, a motion's further course,
what lies between two motions, somebody's reaction to somebody, or text alone."""


@dataclass(frozen=True)
class Task:
    """One thing that a model can be asked to do.

    Attributes:
      name: as templates name it ("class"), unique in a system.
      role: what people do with it; commands ask the first task of the role that they serve.
      input_spans: (beginning, end) of each motion that is given, as shares of a clip.
      output_spans: the same of each motion that is to be made.
      persons: how many persons it is about; of a reaction one is given and one is to be made.
      question: how a model is asked that no template of the task was trained on, with placeholders; "" is never asked.
    """

    name: str
    role: Role
    input_spans: tuple[Share, ...] = ()
    output_spans: tuple[Share, ...] = ()
    persons: int = 1
    question: str = ""

    def ranges(self, frames: int) -> list[tuple[int, int]]:
        """(start, stop) frames of each given, then each made piece of a clip; rounded down, as officially."""
        return [(int(start * frames), int(stop * frames)) for start, stop in (*self.input_spans, *self.output_spans)]

    def given(self, features: Float[np.ndarray, "frames features"]) -> tuple[Float[np.ndarray, "..."], ...]:
        """The pieces of a clip's features that are given."""
        ranges = self.ranges(len(features))[: len(self.input_spans)]
        return tuple(features[start:stop] for start, stop in ranges)


def clip_frames(
    tasks: Sequence[Task], chosen: Int[np.ndarray, "samples"], frames: Int[np.ndarray, "samples"]
) -> Int[np.ndarray, "samples clips"]:
    """Frames of each piece of many clips (`Task.ranges`); -1 where a task has fewer.

    Args:
      tasks: what may be asked for.
      chosen: the task of each clip, by its place.
      frames: of each clip.
    """
    spans = [(*task.input_spans, *task.output_spans) for task in tasks]
    most = max(1, *(len(some) for some in spans))
    shares = np.array([[*some, *((np.nan, np.nan),) * (most - len(some))] for some in spans])
    starts, stops = (np.nan_to_num(shares[chosen, :, end] * frames[:, None]).astype(np.int64) for end in (0, 1))
    return np.where(np.isnan(shares[chosen, :, 0]), -1, stops - starts)


WHOLE: Share = (0.0, 1.0)


def by_name(*tasks: Task) -> Mapping[str, Task]:
    """Tasks by their names."""
    return {task.name: task for task in tasks}


def of_role(tasks: Mapping[str, Task], role: Role, persons: int = 1) -> Task | None:
    """The first task of a role about so many persons; None where there is none."""
    return next((task for task in tasks.values() if task.role == role and task.persons == persons), None)


TASKS = by_name(
    Task("t2m", "generate", output_spans=(WHOLE,), question="<Caption_Placeholder>"),
    Task("n2m", "move", output_spans=(WHOLE,), question="Move in any way you like."),
    Task("l2m", "move", output_spans=(WHOLE,)),
    Task("m2t", "caption", input_spans=(WHOLE,), question="<Motion_Placeholder>"),
    Task("m2l", "caption", input_spans=(WHOLE,)),
    Task(
        "predict",
        "predict",
        input_spans=((0.0, 0.2),),
        output_spans=((0.2, 1.0),),
        question="Predict motion: <Motion_Placeholder_s1>",
    ),
    Task(
        "inbetween",
        "inbetween",
        input_spans=((0.0, 0.25), (0.75, 1.0)),
        output_spans=(WHOLE,),
        question="The middle is missing: <Motion_Placeholder_Masked> Fill it in.",
    ),
    Task("t2t", "text"),
    Task("n2t", "text"),
    Task("text", "text"),
)
"""The published tasks: t text, m motion, l a length, n nothing; `text` is a caption without a question."""

PAIR_TASKS = by_name(
    Task("t2p", "generate", output_spans=(WHOLE,), persons=2, question="<Caption_Placeholder>"),
    Task("p2t", "caption", input_spans=(WHOLE,), persons=2, question="<Motion_Placeholder>"),
    Task("react", "react", (WHOLE,), (WHOLE,), persons=2, question="<Motion_Placeholder> <Caption_Placeholder>"),
)
"""Tasks of two people: both from a sentence, a sentence for both, and one to the other with a sentence or without."""

ALL_TASKS = {**TASKS, **PAIR_TASKS}
"""Those of one person and of two."""
