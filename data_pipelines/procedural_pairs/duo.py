"""Animation of two bodies at once: their steps over one floor, and hands that meet by inverse kinematics."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.data_pipelines.procedural import body
from motiongpt3_jax.data_pipelines.procedural.body import Controls
from motiongpt3_jax.data_pipelines.procedural.score import FIRST, LEFT, RIGHT, Score, Stance, Style, lower_pelvis, pulse

HAND = 0.03
"""Metres that hands reach beyond the wrists, where bodies of 22 joints end: little, so that hands are seen to meet."""

STEP = 0.58
"""Metres of a step at a normal speed."""

STEP_FRAMES = {"slowly": 13.0, "normal": 11.0, "quickly": 9.0}
"""Frames of a step."""

SPREAD = 0.45
"""How much of its way out to the side an elbow takes, where it is free."""

Points = Float[np.ndarray, "frames 3"]
Path = Callable[[float], Stance]


@dataclass(frozen=True)
class Reach:
    """A palm that goes to a point.

    Attributes:
      side: which hand.
      target: where to, in every frame.
      share: how far on its way from where the arm would be otherwise, 0 to 1.
    """

    side: int
    target: Points
    share: Float[np.ndarray, "frames"]


class Actor:
    """One of two bodies while what it does is being written.

    First all steps, in the order of time, then `settle`, then gestures, then reaches.

    Attributes:
      score: its controls; gestures are written into it.
      t: number of every frame.
    """

    def __init__(self, frames: int, stance: Stance, style: Style):
        self.score = Score(frames, stance, style)
        self.t = self.score.t
        self._walks: list[tuple[float, float, str, bool]] = []
        self._reaches: list[Reach] = []

    def walk(self, begin: float, end: float, path: Path, length: float, speed: str = "normal", ahead: bool = True):
        """Step along a path; of the steps the first is short and the last closes up.

        Args:
          begin: frame of the first step's begin.
          end: frame at which both feet stand again.
          path: the stance after so many metres.
          length: metres in all.
          speed: of the steps.
          ahead: whether feet roll as they do forward.
        """
        steps = max(3, round((end - begin) / STEP_FRAMES[speed]))
        span, stride = (end - begin) / steps, length / (steps - 1.25)
        side = FIRST
        for number in range(steps):
            to = path(stride * (min(number, steps - 2) + 0.75))
            first = begin + (number + 0.1 * (number > 0)) * span
            last = begin + (number + 1 - 0.1 * (number < steps - 1)) * span
            roll, landing = (0.8, -0.22) if ahead else (0.24, 0.3)
            self.score.step(side, first, last, to, lift=0.08, roll=roll, landing=landing)
            side = 1 - side
        self._walks.append((begin, end, speed, ahead))

    def turn(self, begin: float, end: float, angle: float) -> None:
        """Turn on the spot, by `angle` to the left."""
        steps = 2 * max(1, round((end - begin) / 20))
        span, start = (end - begin) / steps, self.score.stance
        side = LEFT if angle > 0 else RIGHT
        for number in range(steps):
            to = start.move(turn=angle * (number // 2 + 1) * 2 / steps)
            first = begin + number * span
            self.score.step(side, first + 0.05 * span, first + 0.95 * span, to, roll=0.3, landing=0.1)
            side = 1 - side

    def settle(self) -> None:
        """Let pelvis, trunk and arms follow the feet; where nobody walks the body rests."""
        if not self._walks:
            self.score.follow(5.0, 0.0)
            return
        self.score.follow(5.0, 0.025)
        moving = sum(pulse(self.t, begin - 3, begin + 5, end - 5, end + 3) for begin, end, _, _ in self._walks)
        self.score.controls.height -= 0.02 * np.clip(moving, 0, 1)
        self.score.swing_arms(0.75, 0.15, np.clip(moving, 0, 1))
        for begin, end, _, ahead in self._walks:
            self.score.controls.trunk[:, 0] += (0.03 if ahead else -0.03) * pulse(
                self.t, begin, begin + 5, end - 5, end
            )

    def reach(self, side: int, target: Points, share: Float[np.ndarray, "frames"]) -> None:
        """Bring a palm to a point in every frame."""
        self._reaches.append(Reach(side, np.broadcast_to(target, (len(self.t), 3)), share))

    def joints(self) -> Float[np.ndarray, "frames 22 3"]:
        """What has been written, as joints."""
        controls = self.score.controls
        lower_pelvis(controls)
        for reach in self._reaches:
            _reach(controls, reach)
        return body.pose(controls)


def chest(actor: Actor) -> Points:
    """The place of the chest's middle in every frame, about 0.11 m behind its surface."""
    return body.pose(actor.score.controls)[:, 9].astype(np.float64)


def _reach(controls: Controls, reach: Reach) -> None:
    """Two-bone inverse kinematics of an arm whose forearm ends in the palm, as the rig's angles."""
    sign = body.SIDES[reach.side]
    frames = body.trunk_frames(controls)[2][:, 3]
    shoulder = body.pose(controls)[:, 16 + reach.side]
    way = np.einsum("fji,fj->fi", frames, reach.target - shoulder)
    upper, lower = body.UPPER_ARM, body.FOREARM + HAND
    distance = np.linalg.norm(way, axis=-1, keepdims=True)
    along = way / np.maximum(distance, 1e-6)
    span = np.clip(distance, 0.12, 0.999 * (upper + lower))
    pole = np.array([SPREAD * sign, -1.0, -0.35])
    pole = pole - (along @ pole)[:, None] * along
    pole /= np.linalg.norm(pole, axis=-1, keepdims=True)
    before = (span**2 + upper**2 - lower**2) / (2 * span)
    elbow = before * along + np.sqrt(np.maximum(upper**2 - before**2, 0)) * pole
    share = reach.share[:, None]
    for now, bone in ((controls.upper_arm, elbow), (controls.forearm, span * along - elbow)):
        goal = _angles(bone, sign)
        now[:, reach.side] += share * (goal - now[:, reach.side])


def _angles(bone: Points, sign: float) -> Float[np.ndarray, "frames 2"]:
    """(forward, outward) swing of a direction seen from the chest: the inverse of the rig's."""
    bone = bone / np.linalg.norm(bone, axis=-1, keepdims=True)
    outward = np.arcsin(np.clip(sign * bone[:, 0], -1, 1))
    forward = np.arctan2(bone[:, 2], -bone[:, 1])
    # Straight up is where the angle is cut: behind the head it goes on from there.
    return np.stack([np.where(forward < -np.pi / 2, forward + 2 * np.pi, forward), outward], axis=-1)


def straight(start: Stance, ahead: float = 1.0, right: float = 0.0) -> Path:
    """A straight path along the body's axes, without turning."""
    return lambda metres: start.move(right=right * metres, ahead=ahead * metres)


def arc(start: Stance, radius: float, left: bool) -> Path:
    """A circle about a point at the walker's left or right, along which it faces."""
    sign = 1.0 if left else -1.0

    def at(metres: float) -> Stance:
        angle = metres / radius
        aside, ahead = radius * (1 - np.cos(angle)), radius * np.sin(angle)
        return start.move(right=-sign * aside, ahead=ahead, turn=sign * angle)

    return at


def walk_frames(length: float, speed: str) -> float:
    """Frames that so many metres take in steps of at most `STEP`."""
    return max(3, np.ceil(length / STEP + 1.25 - 1e-9)) * STEP_FRAMES[speed]


def walk_length(frames: float, speed: str) -> float:
    """Metres that can be walked in so many frames."""
    return (np.floor(frames / STEP_FRAMES[speed]) - 1.25) * STEP
