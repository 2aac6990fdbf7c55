"""The released code's planner, reproduced to compare with, not offered: its search, and how it reads a chat model.

The search's book-keeping is wrong: it follows two beams, and at each step takes the best of the last 514 ids of the
first beam, whichever that is by then. The ids lie on no path through the beams.
"""

import json

import numpy as np

BEAMS = 2
CALL = "MotionLLM.generate('"


def descriptions_of(response):
    """(descriptions that a chat model's response plans, name of the error at which reading ends or None)."""
    try:
        values = json.loads(response)
    except json.JSONDecodeError:
        return [], "ValueError"
    if not values.get("plan"):
        return [], None if values.get("reasoning") else "ValueError"
    found = []
    for step in filter(str.strip, values["plan"].split(";")):
        parts = step.split(CALL)
        if len(parts) < 2:
            return found, "IndexError"
        found.append(parts[1].rstrip("');"))
    return found, None


def planner_ids(logits_after, prompt, end, end_of_motion, first_new, longest):
    """The ids that it takes.

    Args:
      logits_after: from BEAMS sequences of one length to the logits of what follows each.
      prompt: ids of the question.
      end: ends a text.
      end_of_motion: ends a motion; what it takes itself ends its answer.
      first_new: the first id of motions.
      longest: ids of question and answer.
    """
    beams, totals = [list(prompt)] * BEAMS, np.array([0.0, -1e9])
    taken, finished = [], 0
    while len(beams[0]) < longest and finished < BEAMS:
        logits = np.asarray(logits_after(beams), np.float64)
        taken.append(first_new + int(np.argmax(logits[0, first_new:])))
        if taken[-1] == end_of_motion:
            break
        logits -= logits.max(axis=1, keepdims=True)
        sums = totals[:, None] + logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        best = np.argsort(-sums, axis=None, kind="stable")[: 2 * BEAMS]
        candidates = [(divmod(int(place), sums.shape[1]), sums.flat[place]) for place in best]
        finished += sum(token == end for (_, token), _ in candidates[:BEAMS])
        going_on = [(beams[beam] + [token], total) for (beam, token), total in candidates if token != end][:BEAMS]
        beams, totals = [ids for ids, _ in going_on], np.array([total for _, total in going_on])
    return taken
