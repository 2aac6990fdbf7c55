"""The official evaluation protocol of prediction and in-betweening.

Features are made of the whole motion and then cut, so that the model sees a little of what is hidden, or more, as its
system says in `Answers.official_question`; and the answer is in the model's own place and proportions, with nothing
joined to what was given.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.clips import features_of, require_skeleton
from motiongpt3_jax.inference.engine import Engine
from motiongpt3_jax.inference.prompts import Prompts
from motiongpt3_jax.motion import Motion
from motiongpt3_jax.motion.resample import resample_motion


def official_answers(
    engine: Engine,
    prompts: Prompts,
    task: Literal["predict", "inbetween"],
    motions: Sequence[Motion],
    seeds: Sequence[int],
    options: Any,
) -> list[Motion]:
    """The official protocol's answer to each motion's first person.

    Raises:
      UserError: a motion is longer than the model makes at once, too short to be cut, or of another skeleton.
    """
    statistics, questions, frames, sampling = engine.folder.statistics, [], [], options
    pieces = prompts.of_role(task)
    for motion in motions:
        require_skeleton(motion, statistics)
        features = features_of(resample_motion(motion, statistics.fps).joints[0], statistics)
        if not all(map(len, pieces.given(features))):
            raise UserError(f"a motion of {motion.frames} frames is too short to be given in part; give a longer one")
        text = prompts.question(pieces.name, "official_eval")
        question, count, sampling = engine.answers.official_question(text, pieces, features, options)
        questions.append(question)
        frames.append(count)
    answers = engine.generate_motions(questions, frames, seeds, sampling)
    return [
        replace(motion, joints=np.asarray(joints)[None], fps=statistics.fps) for motion, joints in zip(motions, answers)
    ]
