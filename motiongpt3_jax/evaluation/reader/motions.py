"""Temporal action segmentation of a motion, by rules on large and simple measurements.

Rules come in a fixed order. Each looks at the frames that no rule before it has taken, and takes those in which it
recognises something, so that the arms of a runner are not read as punches.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from motiongpt3_jax.evaluation.reader.reading import ActionSegment, Reading
from motiongpt3_jax.evaluation.reader.signals import FPS, Signals, is_body, measure, runs, smooth

SIDES = ("left", "right")
Free = Bool[np.ndarray, "frames"]


def read(joints: Float[np.ndarray, "frames 22 3"]) -> Reading:
    """Recognise the actions of a motion, in order.

    Args:
      joints: HumanML3D's 22 joints in metres, y up, 20 fps, anywhere and facing anywhere.

    Raises:
      UserError: wrong shape.
    """
    signals = measure(joints)
    if not is_body(joints):
        return Reading()
    free = np.ones(len(signals.height), bool)
    segments: list[ActionSegment] = []
    for rule in RULES:
        for segment in rule(signals, free.copy()):
            segments.append(segment)
            around = AROUND[segment.action]
            free[max(0, segment.start - around) : segment.stop + around + 1] = False
    segments.sort(key=lambda segment: segment.start + segment.stop)
    return Reading(tuple(_merge_repeats(segments)))


def _merge_repeats(segments: list[ActionSegment]) -> list[ActionSegment]:
    """Merge neighbours of the same kind into one action that is done more often."""
    merged: list[ActionSegment] = []
    for segment in segments:
        if merged and merged[-1].key == segment.key:
            last = merged.pop()
            count = last.count + segment.count if last.count and segment.count else None
            segment = ActionSegment(*last.key, count, last.start, segment.stop)
        merged.append(segment)
    return merged


def _jumping_jacks(s: Signals, free: Free) -> Iterator[ActionSegment]:
    wide = (s.wrist_up.min(axis=1) > 0.3) & (s.ankle_out.sum(axis=1) > 0.42)
    for first, last in runs(free & wide, 2, 1):
        yield ActionSegment("jumping-jack", count=1, start=first, stop=last)


def _hops(s: Signals, free: Free) -> Iterator[ActionSegment]:
    for stands, side in enumerate(SIDES):
        lifted = s.toes[:, 1 - stands] - s.toes[:, stands] > 0.13
        for first, last in runs(free & lifted, 12, 1):
            flights = runs(s.toes[first : last + 1, stands] > 0.075, 2)
            # A runner's foot is up for less time, a kicking foot goes far from the body.
            near = np.hypot(s.ankle_ahead, s.ankle_out)[first : last + 1, 1 - stands].max() < 0.55
            if flights and near:
                ahead, _ = s.travel(first, last)
                direction = "forward" if ahead > 0.12 + 0.08 * len(flights) else None
                yield ActionSegment("hop", direction, side, len(flights), first, last)


def _jumps(s: Signals, free: Free) -> Iterator[ActionSegment]:
    for first, last in runs(free & (s.toes.min(axis=1) > 0.13), 2):
        if s.height[first : last + 1].max() < 1.1:
            continue
        ahead, left = s.travel(max(0, first - 4), min(len(free) - 1, last + 4))
        if max(abs(ahead), abs(left)) < 0.27:
            direction = "up"
        elif abs(ahead) > abs(left):
            direction = "forward" if ahead > 0 else "backward"
        else:
            direction = "left" if left > 0 else "right"
        yield ActionSegment("jump", direction, count=1, start=first, stop=last)


def _low(s: Signals, free: Free) -> Iterator[ActionSegment]:
    """Sits, squats and lunges; who travels while being low is left to `_travels`."""
    end = len(free) - 1
    for first, last in runs(free & (s.height < 0.84), 4):
        lowest = first + int(np.argmin(s.height[first : last + 1]))
        if s.height[lowest] > 0.77:
            continue
        away = float(np.linalg.norm(s.ground[last] - s.ground[first]))
        stays = last >= end - 2 and s.height[end] < 0.75 and s.knee_up[end].max() > -0.27
        if away > (0.6 if stays else 0.2):
            continue
        gap = s.ankle_ahead[lowest, 0] - s.ankle_ahead[lowest, 1]
        if stays:
            yield ActionSegment("sit", start=first, stop=last)
        elif abs(gap) > 0.45:
            yield ActionSegment("lunge", None, "left" if gap > 0 else "right", 1, first, last)
        else:
            yield ActionSegment("squat", count=1, start=first, stop=last)


def _kicks(s: Signals, free: Free) -> Iterator[ActionSegment]:
    for leg, side in enumerate(SIDES):
        ahead, out = s.ankle_ahead[:, leg], s.ankle_out[:, leg]
        high = (s.ankle_up[:, leg] > 0.33) & (np.maximum(ahead, out) > 0.42)
        for first, last in runs(free & high, 2):
            peak = slice(first, last + 1)
            direction = "forward" if ahead[peak].max() > out[peak].max() else "sideways"
            yield ActionSegment("kick", direction, side, 1, first, last)


def _bows(s: Signals, free: Free) -> Iterator[ActionSegment]:
    for first, last in runs(free & (s.pitch > 0.65) & (s.height > 0.84), 4):
        if s.pitch[first : last + 1].max() > 0.75:
            yield ActionSegment("bow", count=1, start=first, stop=last)


def _marches(s: Signals, free: Free) -> Iterator[ActionSegment]:
    speed = FPS * np.linalg.norm(np.gradient(smooth(s.ground, 3.0), axis=0), axis=-1)
    lifted = (s.knee_up > -0.24) & (s.toes > 0.17) & (speed < 0.5)[:, None]
    for first, last in runs(free & lifted.any(axis=1), 3, 12):
        legs = lifted[first : last + 1]
        if legs[:, 0].sum() > 1 and legs[:, 1].sum() > 1:
            yield ActionSegment("march", start=first, stop=last)


RUNNING = 1.35
"""Metres in a second from which on a body whose feet come up high runs; others run from half as much again."""

SOMEWHERE = 0.20
"""Metres that the body has to go to be read as going."""


def _travels(s: Signals, free: Free) -> Iterator[ActionSegment]:
    """Walks, runs, walks in a crouch and steps sideways."""
    speed = FPS * np.linalg.norm(np.gradient(smooth(s.ground, 2.5), axis=0), axis=-1)
    for first, last in runs(free & (smooth(speed, 3.0) > 0.16), 7):
        for start, stop in _split_way(s, speed, first, last):
            ahead, left = s.travel(start, stop)
            if max(abs(ahead), abs(left)) < SOMEWHERE:
                continue
            core = slice(start + (stop - start) // 4, stop - (stop - start) // 4 + 1)
            if abs(left) > abs(ahead):
                yield ActionSegment("side-step", "left" if left > 0 else "right", start=start, stop=stop)
                continue
            direction = "forward" if ahead > 0 else "backward"
            pace, lift = (np.percentile(x[start : stop + 1], 80) for x in (speed, s.toes.max(axis=1)))
            if pace > (RUNNING if lift > 0.16 else 1.5 * RUNNING):
                action = "run"
            else:
                action = "crouch-walk" if np.median(s.height[core]) < 0.84 else "walk"
            yield ActionSegment(action, direction, start=start, stop=stop)


def _split_way(s: Signals, speed: np.ndarray, first: int, last: int) -> list[tuple[int, int]]:
    """Split a stretch where the body nearly stops, or goes on in another direction."""
    inner = speed[first : last + 1]
    lows = [i for i in range(3, len(inner) - 3) if inner[i] == inner[max(0, i - 5) : i + 6].min()]
    cuts = [i for i in lows if inner[i] < 0.65 * min(inner[:i].max(), inner[i:].max())]
    x, z = np.gradient(smooth(s.ground, 2.5), axis=0)[first : last + 1].T
    yaw = s.heading[first : last + 1]
    course = np.arctan2(x * np.cos(yaw) - z * np.sin(yaw), x * np.sin(yaw) + z * np.cos(yaw))
    quarter = np.round(course / (np.pi / 2)).astype(int) % 4
    stretches = [run for q in range(4) for run in runs(quarter == q, 5)]
    cuts += [start for start, _ in stretches if start > 3]
    kept = [first]
    for cut in sorted(first + cut for cut in cuts):
        # Only a cut between two ways that lead somewhere tells them apart.
        if all(np.linalg.norm(s.ground[cut] - s.ground[end]) > SOMEWHERE for end in (kept[-1], last)):
            kept.append(cut)
    return list(pairwise([*kept, last]))


def _turns(s: Signals, free: Free) -> Iterator[ActionSegment]:
    heading = smooth(s.heading, 2.0)
    rate = np.gradient(heading) * FPS
    for sign, direction in ((1, "left"), (-1, "right")):
        for first, last in runs(free & (sign * rate > 0.35), 4, 3):
            before, after = max(0, first - 4), min(len(free) - 1, last + 4)
            angle = abs(np.degrees(heading[after] - heading[before]))
            if angle > 45:
                yield ActionSegment("turn", direction if angle < 130 else "around", start=first, stop=last)


def _claps(s: Signals, free: Free) -> Iterator[ActionSegment]:
    low = np.abs(s.wrist_up.mean(axis=1) + 0.5) < 0.24
    ready = free & low & (s.wrist_ahead.min(axis=1) > 0.28)
    for first, last in runs(ready, 8, 2):
        gap = s.wrist_gap[first : last + 1]
        if gap.min() < 0.32 and np.ptp(gap) > 0.15:
            yield ActionSegment("clap", count=len(runs(gap < gap.min() + 0.3 * np.ptp(gap))), start=first, stop=last)


def _thrusts(s: Signals, free: Free) -> Iterator[ActionSegment]:
    out = (s.wrist_ahead > 0.60) & (np.abs(s.wrist_up) < 0.45) & (np.abs(s.wrist_out) < 0.5)
    yield from _arms(free[:, None] & out, 2, lambda arm, first, last: ("punch", None, 1))


def _arm_gestures(s: Signals, free: Free) -> Iterator[ActionSegment]:
    """Waves, and arms raised up or sideways."""
    high = s.wrist_up > 0.15
    level = (np.abs(s.wrist_up) < 0.45) & (s.wrist_out > 0.62)
    yield from _arms(free[:, None] & (high | level), 6, lambda arm, first, last: _gesture(s, arm, first, last))


def _gesture(s: Signals, arm: int, first: int, last: int) -> tuple[str, str | None, int | None] | None:
    edge = (last - first) // 5
    core = slice(first + edge, last - edge + 1)
    up, out = s.wrist_up[core, arm], s.wrist_out[core, arm]
    height, sway = np.percentile(up, 70), np.std(out)
    if height < 0.27:
        return ("raise", "sideways", None) if np.median(out) > 0.6 else None
    waves = height < 0.74 or (height < 0.86 and sway > 0.13)
    return ("wave", None, None) if waves else ("raise", "up", None)


def _arms(
    active: Bool[np.ndarray, "frames 2"],
    shortest: int,
    name: Callable[[int, int, int], tuple[str, str | None, int | None] | None],
) -> Iterator[ActionSegment]:
    """Actions of each arm in the stretches in which it is active; what both do at once is one action."""
    segments: tuple[list[ActionSegment], list[ActionSegment]] = [], []
    for arm, side in enumerate(SIDES):
        for first, last in runs(active[:, arm], shortest, 1):
            gesture = name(arm, first, last)
            if gesture:
                action, direction, count = gesture
                segments[arm].append(ActionSegment(action, direction, side, count, first, last))
    left, right = segments
    for segment in left:
        twin = next((other for other in right if _is_twin(segment, other)), None)
        if twin:
            right.remove(twin)
            start, stop = min(segment.start, twin.start), max(segment.stop, twin.stop)
            segment = replace(segment, side="both", start=start, stop=stop)
        yield segment
    yield from right


def _is_twin(left: ActionSegment, right: ActionSegment) -> bool:
    """Whether both arms do the same at once."""
    same = (left.action, left.direction, left.count) == (right.action, right.direction, right.count)
    return same and right.start <= left.stop and left.start <= right.stop


RULES: tuple[Callable[[Signals, Free], Iterator[ActionSegment]], ...] = (
    _jumping_jacks,
    _hops,
    _jumps,
    _low,
    _kicks,
    _bows,
    _marches,
    _travels,
    _turns,
    _claps,
    _arm_gestures,
    _thrusts,
)

AROUND = {
    "jumping-jack": 7,
    "hop": 5,
    "jump": 8,
    "sit": 5,
    "squat": 5,
    "lunge": 9,
    "kick": 8,
    "bow": 4,
    "march": 3,
    "walk": 2,
    "run": 2,
    "crouch-walk": 2,
    "side-step": 2,
    "turn": 1,
    "clap": 7,
    "wave": 4,
    "raise": 4,
    "punch": 3,
}
"""How many frames before and after what a rule finds belong to that action as well."""
