"""Key-framed gestures on the spot: each writes one performance into a score."""

import numpy as np

from motiongpt3_jax.data_pipelines.procedural import body
from motiongpt3_jax.data_pipelines.procedural.move import Move
from motiongpt3_jax.data_pipelines.procedural.score import LEFT, RIGHT, Score, ease, pulse

LIMBS = {"left": (LEFT,), "right": (RIGHT,), "both": (LEFT, RIGHT)}


def _repeats(score: Score, move: Move) -> list[tuple[float, float]]:
    """(begin, length) of every repetition."""
    span = (score.frames - 1) / move.count
    return [(number * span, span) for number in range(move.count)]


WAVE = {"slowly": 15.0, "normal": 12.0, "quickly": 9.0}
"""Frames of a wave to and fro."""


def wave(score: Score, move: Move) -> None:
    """Waves a raised hand, elbow out, or both."""
    last = score.frames - 1
    lift = min(9.0, 0.3 * last)
    up = pulse(score.t, 0, lift, last - lift, last)
    waves = max(1.0, round((last - 1.4 * lift) / WAVE[move.speed]))
    begin = 0.7 * lift
    phase = 2 * np.pi * waves * np.clip((score.t - begin) / (last - 2 * begin), 0, 1)
    beat = 0.68 * score.style.size * np.sin(phase)
    for side in LIMBS[move.side]:
        score.arm(side, up, (0.35, 1.78 + 0.12 * beat), (0.15, 3.02 + beat))
    for side in LIMBS[move.side]:
        score.controls.trunk[:, 2] -= 0.05 * body.SIDES[side] * up


RAISE = {"slowly": 18.0, "normal": 12.0, "quickly": 8.0}
RAISE_ANGLES = {"up": ((0.1, 2.95), (0.1, 3.05)), "sideways": ((0.0, 1.55), (0.0, 1.58))}


def raise_arms(score: Score, move: Move) -> None:
    """Raises an arm or both, straight, over the head or to the side, holds, and lowers."""
    last = score.frames - 1
    lift = min(RAISE[move.speed], 0.4 * last)
    up = pulse(score.t, 0, lift, last - lift, last)
    for side in LIMBS[move.side]:
        score.arm(side, up, *RAISE_ANGLES[move.direction])
    score.controls.trunk[:, 0] -= 0.05 * up


KICKS = {"forward": (0.80, 0.0), "sideways": (-0.05, 0.70)}


def kick(score: Score, move: Move) -> None:
    """Swings one leg up, forward or out to its side, and sets it down again."""
    (side,) = LIMBS[move.side]
    outward, size = body.SIDES[side], score.style.size
    ahead, out = KICKS[move.direction]
    for begin, span in _repeats(score, move):
        load, hit, back, end = (begin + share * span for share in (0.18, 0.40, 0.70, 0.97))
        swing = pulse(score.t, load, hit, back, end)
        draw = pulse(score.t, begin, load, load, hit)
        lean = pulse(score.t, begin, load, back, end)
        score.move_foot(
            side,
            ahead=size * ahead * swing - (0.26 if out == 0 else 0.0) * draw,
            left=outward * (size * out * swing - (0.10 if out else 0.0) * draw),
            up=size * (0.66 if out == 0 else 0.56) * swing + 0.20 * draw,
            heel=0.9 * draw - 0.45 * swing * (out == 0),
        )
        score.shift(left=-0.075 * outward * lean, ahead=-0.05 * swing * (out == 0))
        score.controls.trunk[:, 0] += -0.22 * swing * (out == 0) + 0.08 * draw
        score.controls.hips[:, 2] -= 0.22 * -outward * swing * (out > 0) * -1
        score.controls.trunk[:, 2] += 0.18 * outward * swing * (out > 0)
        score.controls.height -= 0.03 * lean
        for arm, sign in enumerate(body.SIDES):
            other = 1.0 if sign != outward else -0.6
            score.controls.upper_arm[:, arm, 0] += 0.55 * other * swing * (out == 0)
            score.controls.upper_arm[:, arm, 1] += 0.35 * lean
            score.controls.forearm[:, arm, 0] += 0.5 * lean


GUARD = ((-0.15, 0.30), (2.10, -0.08))
STRAIGHT = ((1.55, 0.02), (1.55, -0.06))


def punch(score: Score, move: Move) -> None:
    """Raises both fists and thrusts one, or both, straight ahead at the height of the shoulder."""
    last = score.frames - 1
    edge = min(6.0, 0.22 * last)
    guard = pulse(score.t, 0, edge, last - edge, last)
    for side in (LEFT, RIGHT):
        score.arm(side, guard, *GUARD)
    span = (last - 1.5 * edge) / move.count
    for number in range(move.count):
        begin = 0.75 * edge + number * span
        thrust = pulse(score.t, begin + 0.1 * span, begin + 0.45 * span, begin + 0.6 * span, begin + 0.95 * span)
        for side in LIMBS[move.side]:
            score.arm(side, thrust, *STRAIGHT)
        if move.side != "both":
            score.controls.trunk[:, 1] -= 0.35 * score.style.size * body.SIDES[LIMBS[move.side][0]] * thrust
        score.controls.trunk[:, 0] += 0.10 * thrust
    score.controls.height -= 0.04 * guard


def clap(score: Score, move: Move) -> None:
    """Claps both hands in front of the chest."""
    last = score.frames - 1
    edge = min(6.0, 0.22 * last)
    ready = pulse(score.t, 0, edge, last - edge, last)
    span = (last - 2 * edge) / move.count
    shut = np.zeros_like(score.t)
    for number in range(move.count):
        begin = edge + number * span
        shut += pulse(score.t, begin, begin + 0.45 * span, begin + 0.58 * span, begin + span)
    for side in (LEFT, RIGHT):
        open_, closed = 0.50 * score.style.size, -0.92
        fore = open_ + (closed - open_) * shut
        score.arm(side, ready, (0.55, 0.30), (1.50, fore))


def squat(score: Score, move: Move) -> None:
    """Bends the knees deeply, arms out ahead, and comes up again."""
    for begin, span in _repeats(score, move):
        low = pulse(score.t, begin, begin + 0.45 * span, begin + 0.55 * span, begin + span)
        score.controls.height -= 0.43 * score.style.size * low
        score.shift(ahead=-0.13 * low)
        score.controls.hips[:, 0] += 0.30 * low
        score.controls.trunk[:, 0] += 0.30 * low
        score.controls.head -= 0.35 * low
        for side in (LEFT, RIGHT):
            score.arm(side, 0.9 * low, (2.05, 0.10), (2.2, -0.02))


SIT = {"slowly": 30.0, "normal": 22.0, "quickly": 15.0}


def sit(score: Score, move: Move) -> None:
    """Lowers itself onto a chair that is not shown, and stays."""
    end = min(SIT[move.speed], 0.7 * (score.frames - 1))
    down = ease(score.t, 0, end)
    bow = pulse(score.t, 0, 0.5 * end, 0.55 * end, 1.15 * end)
    score.controls.height -= 0.44 * down
    score.shift(ahead=-0.36 * down)
    score.controls.hips[:, 0] += 0.25 * bow - 0.10 * down
    score.controls.trunk[:, 0] += 0.45 * bow + 0.10 * down
    score.controls.head -= 0.3 * bow
    for side in (LEFT, RIGHT):
        score.arm(side, down, (0.35, 0.14), (1.05, -0.02))


def bow(score: Score, move: Move) -> None:
    """Bends forward from the hips with straight legs, and straightens up."""
    size = score.style.size
    for begin, span in _repeats(score, move):
        low = pulse(score.t, begin, begin + 0.42 * span, begin + 0.58 * span, begin + span)
        score.controls.hips[:, 0] += 0.55 * size * low
        score.controls.trunk[:, 0] += 0.75 * size * low
        score.controls.head += 0.1 * low
        score.shift(ahead=-0.13 * low)
        for side in (LEFT, RIGHT):
            score.controls.upper_arm[:, side, 0] += 0.55 * low
            score.controls.forearm[:, side, 0] += 0.75 * low


def lunge(score: Score, move: Move) -> None:
    """Steps far ahead with one foot, sinks down on the bent leg, and steps back."""
    (side,) = LIMBS[move.side]
    size = score.style.size
    for begin, span in _repeats(score, move):
        out, in_ = (begin + 0.04 * span, begin + 0.32 * span), (begin + 0.66 * span, begin + 0.96 * span)
        gone = pulse(score.t, *out, *in_)
        arcs = sum(np.sin(np.pi * np.clip((score.t - a) / (b - a), 0, 1)) for a, b in (out, in_))
        low = pulse(score.t, begin + 0.15 * span, begin + 0.42 * span, begin + 0.58 * span, begin + 0.9 * span)
        score.move_foot(side, 0.78 * size * gone, 0 * gone, 0.10 * arcs, 0 * gone)
        score.controls.heel[:, 1 - side] += 0.9 * low
        score.shift(ahead=0.36 * size * pulse(score.t, begin, begin + 0.36 * span, begin + 0.62 * span, begin + span))
        score.controls.height -= 0.34 * size * low
        score.controls.trunk[:, 0] += 0.06 * low
        for arm in (LEFT, RIGHT):
            score.arm(arm, low, (-0.15, 0.55), (0.9, -0.75))
