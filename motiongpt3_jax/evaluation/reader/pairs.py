"""Recognise what two people do together, by rules on where they are to each other and where their hands meet."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.evaluation.reader.reading import InteractionSegment, PairReading
from motiongpt3_jax.evaluation.reader.signals import ADULT_LEG, FPS, Signals, is_body, leg_length, measure, runs, smooth

PERSONS = ("first", "second")
SIDES = ("left", "right")

PALM = 0.05
"""Metres from the wrist to the middle of the palm."""

SURFACE = 0.12
"""Metres from the middle of the chest to its surface."""

Frames = Float[np.ndarray, "frames"]


@dataclass(frozen=True)
class PairSignals:
    """Measurements of two people in one world; lengths in metres of average adults, angles in radians.

    Attributes:
      bodies: of each by itself.
      ground: x and z of both pelvises.
      heading: where both face, continuous over full turns.
      distance: between the pelvises over the floor.
      palms: places of the palms, by person and side.
      gaps: distance between a palm of the first person and one of the second, by their sides.
      reach: how far each palm is ahead of its shoulder, by person and side.
      touch: distance of each palm from the other person's chest, in front of which it is, by person and side.
    """

    bodies: tuple[Signals, Signals]
    ground: Float[np.ndarray, "2 frames 2"]
    heading: Float[np.ndarray, "2 frames"]
    distance: Frames
    palms: Float[np.ndarray, "2 frames 2 3"]
    gaps: Float[np.ndarray, "frames 2 2"]
    reach: Float[np.ndarray, "2 frames 2"]
    touch: Float[np.ndarray, "2 frames 2"]

    def bearing(self, person: int) -> Frames:
        """Direction in which the other one is from a person, from where it faces, towards its left."""
        x, z = (self.ground[1 - person] - self.ground[person]).T
        return _wrap(np.arctan2(x, z) - self.heading[person])

    def away(self, person: int) -> float:
        """Metres that a person goes from where it begins, at most."""
        return float(np.linalg.norm(self.ground[person] - self.ground[person, 0], axis=-1).max())


def read_pair(joints: Float[np.ndarray, "2 frames 22 3"]) -> PairReading:
    """Recognise what two people do together, and who does it to whom.

    Args:
      joints: both in one world, HumanML3D's 22 joints in metres, y up, 20 fps.

    Raises:
      UserError: wrong shape.
    """
    joints = np.asarray(joints, np.float64)
    if joints.ndim != 4 or len(joints) != 2:
        raise UserError(f"joints have shape {joints.shape}; expected (2, frames, 22, 3).")
    if not all(is_body(person) for person in joints):
        return PairReading()
    signals = measure_pair(joints)
    for rule in RULES:
        segment = rule(signals)
        if segment:
            return PairReading((segment,))
    return PairReading()


def measure_pair(joints: Float[np.ndarray, "2 frames 22 3"]) -> PairSignals:
    """Measure two people in one world."""
    bodies = measure(joints[0]), measure(joints[1])
    joints = smooth(joints.swapaxes(0, 1), 0.5).swapaxes(0, 1) * (ADULT_LEG / np.mean([leg_length(j) for j in joints]))
    wrists, elbows, shoulders = joints[:, :, [20, 21]], joints[:, :, [18, 19]], joints[:, :, [16, 17]]
    forearms = wrists - elbows
    palms = wrists + PALM * forearms / np.maximum(np.linalg.norm(forearms, axis=-1, keepdims=True), 1e-6)
    heading = np.stack([body.heading for body in bodies])
    ahead = np.stack([np.sin(heading), 0 * heading, np.cos(heading)], axis=-1)
    front = joints[:, :, 9] + SURFACE * ahead
    return PairSignals(
        bodies=bodies,
        ground=joints[:, :, 0, ::2],
        heading=heading,
        distance=np.linalg.norm(joints[0, :, 0, ::2] - joints[1, :, 0, ::2], axis=-1),
        palms=palms,
        gaps=np.linalg.norm(palms[0][:, :, None] - palms[1][:, None, :], axis=-1),
        reach=np.einsum("pfsi,pfi->pfs", palms - shoulders, ahead),
        touch=np.linalg.norm(palms - front[::-1, :, None], axis=-1),
    )


MET = 0.22
"""Metres between two palms that meet, as far as people who are made a little beside their place still do."""

OUT = 0.12
"""Metres that a palm is ahead of its shoulder whose arm is stretched out."""

PASSING = 0.5
"""Metres a second by which the distance of two people changes who walk past each other, whose hands may come close."""

HIGH = 0.0
"""Metres over the shoulders above which palms meet in a high five."""

HELD = 0.26
"""Metres that the palm of an arm which holds something is ahead of its shoulder; hanging arms are behind it."""


def _hands(s: PairSignals) -> InteractionSegment | None:
    """Handshakes, high fives, and things that are handed over."""
    slow = FPS * np.abs(np.gradient(smooth(s.distance, 2.0))) < PASSING
    out = s.reach > OUT
    met = (s.gaps < MET) & out[0][:, :, None] & out[1][:, None, :] & slow[:, None, None]
    if not met.any():
        return None
    pairs = [(a, b) for a in range(2) for b in range(2) if met[:, a, b].any()]
    a, b = min(pairs, key=lambda pair: s.gaps[:, pair[0], pair[1]].min())
    first, last = runs(met[:, a, b])[0][0], runs(met[:, a, b])[-1][1]
    closest = int(np.argmin(np.where(met[:, a, b], s.gaps[:, a, b], np.inf)))
    if s.bodies[0].wrist_up[closest, a] + s.bodies[1].wrist_up[closest, b] > HIGH:
        side = "both" if len({pair[0] for pair in pairs}) == 2 else SIDES[a]
        return InteractionSegment("high-five", "both", side=side, start=first, stop=last)
    before, after = slice(0, max(1, first - 11)), slice(min(len(met) - 1, last + 12), None)
    start = [s.reach[0, before, a].max(), s.reach[1, before, b].max()]
    end = [s.reach[0, after, a].mean(), s.reach[1, after, b].mean()]
    gives = np.subtract(start, end)  # who holds it before, and not after
    if abs(gives[0] - gives[1]) > HELD and max(max(start), max(end)) > HELD / 2:
        giver = int(np.argmax(gives))
        return InteractionSegment("hand-over", PERSONS[giver], side=SIDES[(a, b)[giver]], start=first, stop=last)
    return InteractionSegment("shake-hands", "both", side=SIDES[a], start=first, stop=last)


NEAR = 0.26
"""Metres from a chest within which a palm pushes it."""


def _pushes(s: PairSignals) -> InteractionSegment | None:
    touched = s.touch < NEAR
    if not touched.any():
        return None
    person = int(np.argmin(s.touch.min(axis=(1, 2))))
    first = int(np.flatnonzero(touched[person].any(axis=-1))[0])
    away = s.ground[1 - person, -1] - s.ground[1 - person, first]
    line = s.ground[1 - person, first] - s.ground[person, first]
    if away @ line / max(np.linalg.norm(line), 1e-6) < 0.2:
        return None
    hands = [side for side in range(2) if touched[person, :, side].any()]
    side = "both" if len(hands) == 2 else SIDES[hands[0]]
    return InteractionSegment("push", PERSONS[person], side=side, start=first, stop=first)


def _bows(s: PairSignals) -> InteractionSegment | None:
    bowed = [bool(runs(body.pitch > 0.65, 4)) and body.height.min() > 0.8 for body in s.bodies]
    if not any(bowed):
        return None
    return InteractionSegment("bow", "both" if all(bowed) else PERSONS[bowed.index(True)])


SOMEWHERE = 0.4
"""Metres that a person has to walk to be read as walking."""


def _walks(s: PairSignals) -> InteractionSegment | None:
    """Walks around, past, behind, toward and away from the other one."""
    walkers = [person for person in range(2) if s.away(person) > SOMEWHERE]
    if not walkers:
        return None
    if len(walkers) == 1:
        return _one_walks(s, walkers[0])
    x, z = (s.ground[1] - s.ground[0]).T
    turned = _wrap(np.arctan2(x[-1], z[-1]) - np.arctan2(x[0], z[0]))
    if np.median(np.cos(s.heading[1] - s.heading[0])) > np.cos(np.pi / 4):
        ahead = np.array([np.sin(np.median(s.heading[0])), np.cos(np.median(s.heading[0]))])
        behind = 0 if (s.ground[1] - s.ground[0]).mean(axis=0) @ ahead > 0 else 1
        gap = "close" if np.median(s.distance) < 1.45 else "far"
        return InteractionSegment("follow", PERSONS[behind], distance=gap)
    if abs(turned) > np.pi / 2 and s.distance.min() < 1.2:
        nearest = int(np.argmin(s.distance))
        return InteractionSegment("pass-by", "both", side="left" if s.bearing(0)[nearest] > 0 else "right")
    return InteractionSegment("walk", "both", "toward" if s.distance[-1] < s.distance[0] else "apart")


def _one_walks(s: PairSignals, walker: int) -> InteractionSegment | None:
    x, z = (s.ground[walker] - s.ground[1 - walker]).T
    around = np.unwrap(np.arctan2(x, z))
    swept = around[-1] - around[0]
    if abs(swept) > np.radians(100):
        return InteractionSegment("circle", PERSONS[walker], "counterclockwise" if swept > 0 else "clockwise")
    nearer = s.distance[0] - s.distance[-1]
    if abs(nearer) < SOMEWHERE / 2:
        return None
    return InteractionSegment("walk", PERSONS[walker], "toward" if nearer > 0 else "apart")


RAISED = 0.27
"""Height of a wrist over the shoulder, in arms, above which an arm is raised up."""


def _mirrors(s: PairSignals) -> InteractionSegment | None:
    """Arms that both raise, one after the other, as in a mirror."""
    raised = []
    for body in s.bodies:
        active = (body.wrist_up > 0.15) | ((np.abs(body.wrist_up) < 0.45) & (body.wrist_out > 0.62))
        stretches = [runs(active[:, arm], 5, 2) for arm in range(2)]
        arms = [arm for arm in range(2) if stretches[arm]]
        if not arms:
            return None
        first, last = stretches[arms[0]][0]
        up = np.percentile(body.wrist_up[first : last + 1, arms[0]], 70) > RAISED
        raised.append((first, "both" if len(arms) == 2 else SIDES[arms[0]], "up" if up else "sideways"))
    (one, side, direction), (other, other_side, other_direction) = raised
    mirrored = {"left": "right", "right": "left", "both": "both"}
    if direction != other_direction or other_side != mirrored[side]:
        return None
    leader = 0 if one < other else 1
    return InteractionSegment("mirror", PERSONS[leader], direction, raised[leader][1], start=min(one, other))


RULES: tuple[Callable[[PairSignals], InteractionSegment | None], ...] = (_pushes, _hands, _bows, _walks, _mirrors)


def _wrap(angle: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    return (np.asarray(angle) + np.pi) % (2 * np.pi) - np.pi
