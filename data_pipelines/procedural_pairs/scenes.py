"""Key-framed interactions of two bodies: each stages one performance of the one who acts and of the other one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.data_pipelines.procedural.body import SIDES
from motiongpt3_jax.data_pipelines.procedural.gestures import LIMBS, RAISE_ANGLES
from motiongpt3_jax.data_pipelines.procedural.score import LEFT, RIGHT, Stance, Style, pulse
from motiongpt3_jax.data_pipelines.procedural_pairs.duo import Actor, arc, chest, straight, walk_frames, walk_length
from motiongpt3_jax.data_pipelines.procedural_pairs.interaction import Interaction

Joints = Float[np.ndarray, "2 frames 22 3"]
Points = Float[np.ndarray, "frames 3"]

PACE = {"slowly": 1.3, "normal": 1.0, "quickly": 0.8}
"""How long a gesture takes, beside a normal one."""

SURFACE = 0.12
"""Metres from the middle of the chest to where a hand that pushes it is."""


@dataclass(frozen=True)
class Stage:
    """What a performance may choose.

    Attributes:
      rng: chance.
      styles: of the one who acts, and of the other one.
      least: frames of the performance at least; what is left is standing still.
      most: frames at most.
    """

    rng: np.random.Generator
    styles: tuple[Style, Style]
    least: int
    most: int

    def draw(self, low: float, high: float) -> float:
        """A number between two."""
        return float(self.rng.uniform(low, high))

    def spread(self, low: float, high: float, room: float) -> float:
        """A number from `low` to `high`, and no more than there is room for."""
        return self.draw(low, max(low, min(high, room)))

    def actors(self, frames: float, other: Stance) -> tuple[Actor, Actor]:
        """The two, the one who acts from the origin, facing +z."""
        count = int(np.clip(np.ceil(frames), self.least, self.most))
        return Actor(count, Stance(), self.styles[0]), Actor(count, other, self.styles[1])


def facing(distance: float, aside: float = 0.0) -> Stance:
    """The stance of somebody who faces the origin from so far ahead."""
    return Stance(aside, distance, np.pi)


def show(*actors: Actor) -> Joints:
    """The joints of all."""
    return np.stack([actor.joints() for actor in actors])


def shake_hands(stage: Stage, do: Interaction) -> Joints:
    """Both give each other the hand and shake it."""
    pace = PACE[do.speed]
    begin, rise, rest = stage.draw(3, 8), 10 * pace, stage.draw(4, 8)
    hold = stage.spread(16 * pace, 30 * pace, stage.most - begin - 2 * rise - rest)
    met, parted = begin + rise, begin + rise + hold
    distance = stage.draw(0.80, 0.90)
    both = stage.actors(parted + rise + rest, facing(distance))
    t = both[0].t
    share = pulse(t, begin, met, parted, parted + rise)
    shakes = max(2, round(hold / (10 * pace)))
    beat = np.sin(2 * np.pi * shakes * np.clip((t - met) / hold, 0, 1))
    palm = _point(t, 0.0, 1.06 + 0.035 * beat, distance / 2)
    (hand,) = LIMBS[do.side]
    for actor in both:
        actor.settle()
        actor.score.controls.trunk[:, 0] += 0.10 * share
        actor.score.controls.trunk[:, 1] -= 0.22 * SIDES[hand] * share
        actor.reach(hand, palm, share)
    return show(*both)


RAISED = ((0.15, 0.45), (2.75, 0.05))
"""Angles of an arm whose hand is beside the head."""


def high_five(stage: Stage, do: Interaction) -> Joints:
    """Both clap their raised hands together."""
    pace = PACE[do.speed]
    begin, rise, rest = stage.draw(3, 7), 13 * pace, stage.draw(3, 6)
    met, parted = begin + rise, begin + rise + 3
    distance = stage.draw(0.84, 0.94)
    both = stage.actors(parted + rise + rest, facing(distance))
    t = both[0].t
    # Hands first go up, and then ahead: else they would meet on their way.
    raised = pulse(t, begin, begin + 0.65 * rise, parted + 0.35 * rise, parted + rise)
    share = pulse(t, begin + 0.45 * rise, met, parted, parted + 0.55 * rise)
    aside = 0.18 if do.side == "both" else 0.0
    for actor, sign in zip(both, (1.0, -1.0)):
        actor.settle()
        for hand in LIMBS[do.side]:
            actor.score.arm(hand, raised, *RAISED)
            actor.score.controls.trunk[:, 1] -= 0.15 * SIDES[hand] * share * (do.side != "both")
            actor.reach(hand, _point(t, sign * SIDES[hand] * aside, 1.60, distance / 2), share)
    return show(*both)


def walk(stage: Stage, do: Interaction) -> Joints:
    """One or both walk to the other one, or away."""
    toward, walkers = do.direction == "toward", 2 if do.who == "both" else 1
    begin, rest = stage.draw(1, 5), 4.0
    room = walk_length(stage.most - begin - rest, do.speed)
    length = stage.spread(1.0, 3.0 / walkers + 0.4, room)
    apart = stage.draw(0.95, 1.35) if toward else stage.draw(0.7, 1.0)
    end = begin + walk_frames(length, do.speed)
    if toward:
        other = facing(apart + walkers * length)
    else:
        other = Stance(0.0, -apart, np.pi if walkers == 2 else 0.0)
    both = stage.actors(end + rest, other)
    for actor in both[:walkers]:
        actor.walk(begin, end, straight(actor.score.stance), length, do.speed)
    for actor in both:
        actor.settle()
    return show(*both)


def pass_by(stage: Stage, do: Interaction) -> Joints:
    """Both walk past each other."""
    begin, rest = stage.draw(1, 4), 3.0
    room = walk_length(stage.most - begin - rest, do.speed)
    length = stage.spread(2.4, 4.0, room)
    end = begin + walk_frames(length, do.speed)
    aside = stage.draw(0.75, 0.95) * (1.0 if do.side == "left" else -1.0)
    both = stage.actors(end + rest, facing(length * stage.draw(0.9, 1.1), aside))
    for actor in both:
        actor.walk(begin, end, straight(actor.score.stance), length, do.speed)
        actor.settle()
    return show(*both)


def push(stage: Stage, do: Interaction) -> Joints:
    """One pushes the other one's chest, who stumbles back."""
    pace = PACE[do.speed]
    begin, load, rest = stage.draw(3, 8), 9 * pace, 4.0
    met = begin + load + 5
    steps = 3 if stage.most < 70 else int(stage.rng.integers(3, 5))
    end = met + 3 + 8 * steps
    both = stage.actors(end + rest, facing(stage.draw(0.60, 0.70)))
    actor, other = both
    t = actor.t
    other.walk(met + 3, end, straight(other.score.stance, -1.0), stage.draw(0.22, 0.3) * (steps - 1), "quickly", False)
    for each in both:
        each.settle()
    hit = pulse(t, met - 1, met + 4, met + 8, met + 20)
    other.score.controls.trunk[:, 0] -= 0.20 * hit
    for hand, sign in enumerate(SIDES):
        other.score.controls.upper_arm[:, hand, 1] += 0.35 * hit
        other.score.controls.forearm[:, hand, 0] += 0.5 * hit
        if hand not in LIMBS[do.side]:
            continue
        ready = pulse(t, begin, begin + load, met, met + 10)
        actor.score.arm(hand, ready, (-0.35, 0.25), (1.75, -0.02))
        aside = 0.10 if do.side == "both" else 0.03
        goal = chest(other) + np.array([sign * aside, -0.02, -SURFACE])
        actor.reach(hand, goal, pulse(t, met - 5, met, met + 4, met + 14))
    lean = pulse(t, met - 6, met, met + 4, met + 14)
    actor.score.controls.trunk[:, 0] += 0.16 * lean
    if do.side != "both":
        actor.score.controls.trunk[:, 1] -= 0.25 * SIDES[LIMBS[do.side][0]] * lean
    return show(*both)


FOLLOW = {"close": (0.75, 0.95), "far": (1.9, 2.5)}
"""Metres by which one follows."""


def follow(stage: Stage, do: Interaction) -> Joints:
    """One walks behind the other one."""
    begin, delay, rest = stage.draw(1, 4), stage.draw(2, 5), 3.0
    room = walk_length(stage.most - begin - delay - rest, do.speed)
    length = stage.spread(1.6, 3.6, room)
    frames = walk_frames(length, do.speed)
    both = stage.actors(begin + delay + frames + rest, Stance(0.0, stage.draw(*FOLLOW[do.distance]), 0.0))
    for actor, start in zip(both, (begin + delay, begin)):
        actor.walk(start, start + frames, straight(actor.score.stance), length, do.speed)
        actor.settle()
    return show(*both)


MIRRORED = {"left": "right", "right": "left", "both": "both"}


def mirror(stage: Stage, do: Interaction) -> Joints:
    """One raises an arm or both, and the other one does the same, as in a mirror."""
    pace = PACE[do.speed]
    begin, lag, rise, rest = stage.draw(3, 7), stage.draw(8, 12), 10 * pace, 4.0
    hold = stage.spread(12, 24, stage.most - begin - lag - 2 * rise - rest)
    both = stage.actors(begin + lag + 2 * rise + hold + rest, facing(stage.draw(1.4, 2.2)))
    t = both[0].t
    for actor, start, side in zip(both, (begin, begin + lag), (do.side, MIRRORED[do.side])):
        actor.settle()
        up = pulse(t, start, start + rise, start + rise + hold, start + 2 * rise + hold)
        for arm in LIMBS[side]:
            actor.score.arm(arm, up, *RAISE_ANGLES[do.direction])
        actor.score.controls.trunk[:, 0] -= 0.05 * up
    return show(*both)


CIRCLE = (0.85, 1.25)
"""Metres of the radius of a circle around somebody."""

LEAST_TURN = 0.42
"""Share of the circle that is walked at least."""


def circle(stage: Stage, do: Interaction) -> Joints:
    """One walks around the other one, who stands and looks ahead."""
    begin, rest, left = stage.draw(1, 4), 3.0, do.direction == "counterclockwise"
    room = walk_length(stage.most - begin - rest, do.speed)
    around = 2 * np.pi * LEAST_TURN
    radius = stage.spread(*CIRCLE, room / around)
    length = stage.spread(around * radius, 2 * np.pi * radius, room)
    end = begin + walk_frames(length, do.speed)
    side = 1.0 if left else -1.0
    yaw = -side * np.pi / 2 if stage.rng.random() < 0.6 else 0.0
    both = stage.actors(end + rest, Stance(side * radius, 0.0, yaw))
    both[0].walk(begin, end, arc(Stance(), radius, left), length, do.speed)
    for actor in both:
        actor.settle()
    return show(*both)


HOLDING = ((-0.10, 0.10), (1.45, -0.18))
"""Angles of an arm that holds something small before the belly."""


def hand_over(stage: Stage, do: Interaction) -> Joints:
    """One holds something, gives it into the other one's hand, and that one holds it from then on."""
    pace = PACE[do.speed]
    hold, give, take, rest = stage.draw(5, 9), 11 * pace, 4.0, stage.draw(7, 12)
    met = hold + give
    parted = met + take
    distance = stage.draw(0.78, 0.87)
    both = stage.actors(parted + 11 * pace + rest, facing(distance))
    t = both[0].t
    palm = _point(t, 0.0, 1.08, distance / 2)
    (hand,) = LIMBS[do.side]
    hands = (hand, hand if stage.rng.random() < 0.7 else 1 - hand)
    shares = (pulse(t, hold, met, parted, parted + 11 * pace), pulse(t, hold + 3, met, parted, parted + 11 * pace))
    holding = (1 - pulse(t, met, parted, 10**6, 10**6 + 1), pulse(t, met, parted, 10**6, 10**6 + 1))
    for each, own, share, holds in zip(both, hands, shares, holding):
        each.settle()
        each.score.arm(own, holds, *HOLDING)
        each.score.controls.trunk[:, 0] += 0.08 * share
        each.score.controls.trunk[:, 1] -= 0.20 * SIDES[own] * share
        each.reach(own, palm, share)
    return show(*both)


def bow(stage: Stage, do: Interaction) -> Joints:
    """One bows to the other one, or both bow to each other."""
    length, rest = 32 * PACE[do.speed], 4.0
    begin, lag = stage.draw(3, 8), stage.draw(0, 5)
    both = stage.actors(begin + lag + length + rest, facing(stage.draw(1.5, 2.2)))
    for number, actor in enumerate(both):
        actor.settle()
        if number and do.who != "both":
            continue
        start, controls = begin + lag * number, actor.score.controls
        low = pulse(actor.t, start, start + 0.42 * length, start + 0.58 * length, start + length)
        size = actor.score.style.size
        controls.hips[:, 0] += 0.50 * size * low
        controls.trunk[:, 0] += 0.65 * size * low
        controls.head += 0.1 * low
        actor.score.shift(ahead=-0.12 * low)
        for side in (LEFT, RIGHT):
            controls.upper_arm[:, side, 0] += 0.5 * low
            controls.forearm[:, side, 0] += 0.65 * low
    return show(*both)


def _point(t: np.ndarray, x: float | np.ndarray, y: float | np.ndarray, z: float | np.ndarray) -> Points:
    return np.stack(np.broadcast_arrays(x, y, z, t)[:3], axis=-1).astype(np.float64)


@dataclass(frozen=True)
class Scene:
    """One interaction and its choices.

    Attributes:
      perform: stages a performance: joints of the one who acts, and of the other one.
      who: who may do it.
      frames: of the shortest performance at a normal speed.
      directions: where it may go.
      sides: hands, arms or sides that it may be done with.
      distances: how far from each other.
    """

    perform: Callable[[Stage, Interaction], Joints]
    who: tuple[str, ...]
    frames: int
    directions: tuple[str | None, ...] = (None,)
    sides: tuple[str | None, ...] = (None,)
    distances: tuple[str | None, ...] = (None,)

    def shortest(self, do: Interaction) -> int:
        """Frames that it takes at least."""
        return round(self.frames * PACE[do.speed]) + 14


ONE, TWO, ANY = ("first", "second"), ("both",), ("first", "second", "both")
HANDS = ("left", "right")
LIMB = ("left", "right", "both")

SCENES: dict[str, Scene] = {
    "shake-hands": Scene(shake_hands, TWO, 38, sides=HANDS),
    "high-five": Scene(high_five, TWO, 30, sides=LIMB),
    "walk": Scene(walk, ANY, 36, ("toward", "apart")),
    "pass-by": Scene(pass_by, TWO, 62, sides=HANDS),
    "push": Scene(push, ONE, 46, sides=LIMB),
    "follow": Scene(follow, ONE, 52, distances=("close", "far")),
    "mirror": Scene(mirror, ONE, 47, ("up", "sideways"), LIMB),
    "circle": Scene(circle, ONE, 60, ("clockwise", "counterclockwise")),
    "hand-over": Scene(hand_over, ONE, 36, sides=HANDS),
    "bow": Scene(bow, ANY, 38),
}
"""All interactions by name."""
