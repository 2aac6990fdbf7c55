"""Key-framed gaits, jumps and turns: each writes one performance into a score."""

from dataclasses import dataclass

import numpy as np

from motiongpt3_jax.data_pipelines.procedural import body
from motiongpt3_jax.data_pipelines.procedural.move import Move
from motiongpt3_jax.data_pipelines.procedural.score import FEET, FIRST, LEFT, RIGHT, Score, Stance, curve, ease, pulse


@dataclass(frozen=True)
class Gait:
    """Gait parameters.

    Attributes:
      length: metres forward in one step.
      frames: frames that one step takes.
      overlap: share of a step's time by which its flight is longer than the step (negative: both feet stand).
      lift: height of the toes in mid-flight.
      roll: lift of the heel when the toes leave.
      low: how much lower than standing the pelvis is carried.
      bounce: rise of the pelvis in flight.
      tilt: forward tilt of the trunk.
      arms: radians of swing of an arm for a metre of stride.
      bend: bend of the elbows.
    """

    length: float
    frames: float
    overlap: float = -0.1
    lift: float = 0.08
    roll: float = 0.8
    low: float = 0.015
    bounce: float = 0.0
    tilt: float = 0.03
    arms: float = 0.75
    bend: float = 0.15


def _run(length: float, frames: float, tilt: float) -> Gait:
    return Gait(length, frames, 0.22, lift=0.30, roll=1.5, low=0.05, bounce=0.06, tilt=tilt, arms=0.42, bend=1.35)


def _crouch(length: float, frames: float) -> Gait:
    return Gait(length, frames, low=0.27, tilt=0.55, roll=0.5, lift=0.11, arms=0.5, bend=0.7)


WALK = {"slowly": Gait(0.42, 14), "normal": Gait(0.58, 11), "quickly": Gait(0.68, 9, arms=0.9, bend=0.3, tilt=0.07)}
RUN = {"slowly": _run(0.88, 7.2, 0.14), "normal": _run(1.05, 6.5, 0.20), "quickly": _run(1.2, 6.0, 0.28)}
CROUCH_WALK = {"slowly": _crouch(0.36, 14), "normal": _crouch(0.46, 11), "quickly": _crouch(0.55, 9)}


def walk(score: Score, move: Move) -> None:
    """Walks forward or backward."""
    _go(score, move, WALK[move.speed], backward=0.75)


def run(score: Score, move: Move) -> None:
    """Runs forward or backward."""
    _go(score, move, RUN[move.speed], backward=0.85)


def crouch_walk(score: Score, move: Move) -> None:
    """Walks with deeply bent knees."""
    _go(score, move, CROUCH_WALK[move.speed], backward=0.8)


def _go(score: Score, move: Move, gait: Gait, backward: float) -> None:
    sign, length = (1.0, gait.length) if move.direction == "forward" else (-1.0, backward * gait.length)
    low = gait.low > 0.1
    begin, settle = (4, 4) if low else (1, 2)
    time = score.frames - 1 - begin - settle
    steps = max(3, round(time / gait.frames))
    span = time / steps
    # The last step only closes up, and the first is a short one.
    length *= score.style.size * span / gait.frames
    start, side = score.stance, FIRST
    for number in range(steps):
        to = start.move(ahead=sign * length * (min(number, steps - 2) + 0.75))
        first = begin + (number - gait.overlap * (number > 0)) * span
        last = begin + (number + 1 + gait.overlap * (number < steps - 1)) * span
        roll = gait.roll if sign > 0 else 0.3 * gait.roll
        score.step(side, first, last, to, lift=gait.lift, roll=roll, landing=-0.22 if sign > 0 else 0.3)
        side = 1 - side
    score.follow(0.5 * span, 0.03 if gait.overlap < 0 else 0.01)
    end = begin + time
    moving = pulse(score.t, begin - 5 if low else begin, begin + 5, end - 5, end + (5 if low else 1))
    score.controls.height -= gait.low * moving
    if gait.bounce:
        score.controls.height += gait.bounce * np.cos(2 * np.pi * (score.t - begin) / span) * moving
    score.controls.trunk[:, 0] += sign * gait.tilt * moving if not low else gait.tilt * moving
    score.controls.head -= 0.6 * gait.tilt * moving if low else 0.0
    score.swing_arms(gait.arms, gait.bend, moving)


SIDE_STEP = {"slowly": (0.36, 12.0), "normal": (0.42, 9.5), "quickly": (0.47, 7.5)}


def side_step(score: Score, move: Move) -> None:
    """Steps sideways: one foot out, the other one after."""
    length, frames = SIDE_STEP[move.speed]
    right = 1.0 if move.direction == "right" else -1.0
    time = score.frames - 3
    pairs = max(1, round(time / frames / 2))
    span = time / pairs / 2
    length *= score.style.size * span / frames
    start, lead = score.stance, FEET[move.direction]
    for number in range(2 * pairs):
        to = start.move(right=right * length * (number // 2 + 1))
        side = lead if number % 2 == 0 else 1 - lead
        begin = 1 + number * span
        score.step(side, begin + 0.05 * span, begin + 0.95 * span, to, lift=0.10, roll=0.15, landing=0.1)
    score.follow(0.45 * span)
    moving = pulse(score.t, 0, 5, score.frames - 6, score.frames - 1)
    score.controls.height -= 0.02 * moving
    for side in (LEFT, RIGHT):
        score.controls.upper_arm[:, side, 1] += 0.15 * moving


ANGLES = {"left": np.pi / 2, "right": -np.pi / 2, "around": np.pi}
TURN = {"slowly": 11.0, "normal": 8.5, "quickly": 6.5}


def turn(score: Score, move: Move) -> None:
    """Turns on the spot in small steps; turning around goes by the left."""
    angle = ANGLES[move.direction]
    time = score.frames - 3
    most = 4 if move.direction == "around" else 2
    steps = 2 * max(1, min(most, round(time / TURN[move.speed] / 2)))
    span = time / steps
    side, start = (LEFT if angle > 0 else RIGHT), score.stance
    turns = steps // 2
    for number in range(steps):
        to = start.move(turn=angle * (number // 2 + 1) / turns)
        begin = 1 + number * span
        score.step(side, begin + 0.05 * span, begin + 0.95 * span, to, lift=0.09, roll=0.3, landing=0.1)
        side = 1 - side
    score.follow(0.6 * span, 0.03)
    moving = pulse(score.t, 0, 5, score.frames - 6, score.frames - 1)
    score.controls.trunk[:, 1] += 2.0 * np.gradient(score.controls.heading) * moving


MARCH = {"slowly": 15.0, "normal": 11.5, "quickly": 9.0}


def march(score: Score, move: Move) -> None:
    """Lifts the knees high, one after the other, on the spot."""
    time = score.frames - 3
    steps = max(2, round(time / MARCH[move.speed]))
    span = time / steps
    side = FIRST
    for number in range(steps):
        begin = 1 + number * span
        up = pulse(score.t, begin, begin + 0.5 * span, begin + 0.5 * span, begin + span)
        score.move_foot(side, 0.16 * up, 0.0 * up, 0.44 * score.style.size * up, 0.45 * up)
        score.shift(left=(0.05 if side == RIGHT else -0.05) * up)
        for arm, sign in ((1 - side, 1.0), (side, -0.5)):
            score.controls.upper_arm[:, arm, 0] += sign * 0.60 * up
            score.controls.forearm[:, arm, 0] += (1.5 if sign > 0 else 0.2) * up
        side = 1 - side


JUMP = {"up": (0.0, 0.0), "forward": (0.0, 0.75), "backward": (0.0, -0.55), "left": (-0.6, 0.0), "right": (0.6, 0.0)}
"""Metres to the right and ahead in a jump."""

LEAP = 0.34
"""Rise of the pelvis in a jump: higher than gravity allows in so few frames, to be seen."""


def jump(score: Score, move: Move) -> None:
    """Bends the knees and jumps off both feet."""
    right, ahead = (score.style.size * metres for metres in JUMP[move.direction])
    span = (score.frames - 1) / move.count
    size = score.style.size
    for number in range(move.count):
        begin = number * span
        off, land = begin + 0.40 * span, begin + 0.76 * span
        to = score.stance.move(right=right, ahead=ahead)
        _leap(score, off, land, to, LEAP * size, tuck=0.08)
        score.controls.height += size * curve(
            score.t,
            [
                (begin, 0),
                (begin + 0.27 * span, -0.17),
                (off, 0.05),
                (land, 0.0),
                (land + 0.09 * span, -0.14),
                (begin + span, 0),
            ],
        )
        crouch = pulse(score.t, begin, begin + 0.27 * span, begin + 0.27 * span, off)
        absorb = pulse(score.t, land - 1, land + 0.09 * span, land + 0.09 * span, begin + span)
        score.controls.trunk[:, 0] += 0.50 * crouch + 0.35 * absorb
        score.shift(ahead=-0.06 * (crouch + absorb))
        reach = pulse(score.t, begin + 0.27 * span, off + 0.1 * span, land - 0.1 * span, begin + span)
        for side in (LEFT, RIGHT):
            score.controls.upper_arm[:, side, 0] += -0.75 * crouch + 1.35 * reach
            score.controls.forearm[:, side, 0] += -0.55 * crouch + 1.6 * reach


def _leap(score: Score, off: float, land: float, to: Stance, rise: float, tuck: float) -> None:
    """Both feet and the body fly to the stance `to`."""
    s = np.clip((score.t - off) / (land - off), 0, 1)
    flight, start = 4 * s * (1 - s), score.stance
    gone = ease(score.t, off - 2, land + 2)
    score.controls.height += rise * flight
    score.controls.ground += gone[:, None] * [to.x - start.x, to.z - start.z]
    for side in (LEFT, RIGHT):
        score.controls.toes[:, side] += s[:, None] * [to.x - start.x, 0, to.z - start.z]
        score.controls.toes[:, side, 1] += (rise + tuck) * flight
        score.controls.heel[:, side] += curve(
            score.t, [(off - 3, 0), (off, 0.7), (off + 1.5, 0.9), (land - 0.5, 0.25), (land + 0.5, 0.0)]
        )
    score.stance = to


HOPS = {None: 0.0, "forward": 0.30}


def hop(score: Score, move: Move) -> None:
    """Hops on one foot, the other one held up behind."""
    stands = FEET[move.side]
    begin, settle = 7.0, 6.0
    span = (score.frames - 1 - begin - settle) / move.count
    t, last = score.t, score.frames - 1
    up = pulse(t, 0, begin, last - settle, last)
    ahead = HOPS[move.direction] * score.style.size
    for number in range(move.count):
        off, land = begin + (number + 0.35) * span, begin + (number + 0.9) * span
        to = score.stance.move(ahead=ahead)
        _leap(score, off, land, to, 0.19 * score.style.size, tuck=0.02)
        dip = pulse(t, off - 0.45 * span, off - 0.2 * span, off - 0.2 * span, off + 0.05 * span)
        score.controls.height -= 0.08 * dip
    zero = np.zeros_like(t)
    score.move_foot(1 - stands, -0.22 * up, zero, 0.34 * up, 0.85 * up)
    score.shift(left=0.07 * up * (1 if stands == LEFT else -1))
    score.controls.height -= 0.06 * up
    score.controls.trunk[:, 0] += 0.10 * up
    for side in (LEFT, RIGHT):
        score.controls.upper_arm[:, side, 1] += 0.35 * up
        score.controls.forearm[:, side, 0] += 0.9 * up


def jumping_jack(score: Score, move: Move) -> None:
    """Jumps the feet apart with the arms going up, and back."""
    span = (score.frames - 1) / move.count
    for number in range(move.count):
        begin = number * span
        open_, shut = begin + 0.10 * span, begin + 0.54 * span
        wide = pulse(score.t, open_, open_ + 0.34 * span, shut, shut + 0.34 * span)
        for off in (open_, shut):
            s = np.clip((score.t - off) / (0.30 * span), 0, 1)
            flight = 4 * s * (1 - s)
            score.controls.height += 0.12 * flight
            score.controls.toes[..., 1] += 0.10 * flight[:, None]
            score.controls.heel += 0.4 * flight[:, None]
        dip = pulse(score.t, begin, open_, open_, open_ + 0.1 * span)
        score.controls.height -= 0.08 * dip + 0.06 * wide
        score.controls.height -= 0.05 * pulse(score.t, shut, shut + 0.3 * span, shut + 0.3 * span, begin + span)
        for side, sign in enumerate(body.SIDES):
            x, z = body.rotate_ground(0.26 * sign * wide, 0 * wide, score.controls.heading)
            score.controls.toes[:, side] += np.stack([x, 0 * x, z], axis=-1)
            score.arm(side, wide, (0.0, 2.85), (0.0, 3.0))
