"""Animation curves of one action: the controls of a standing body, its steps, and how the body follows its feet."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.data_pipelines.procedural import body
from motiongpt3_jax.data_pipelines.procedural.body import Controls, Frames

LEFT = 0
RIGHT = 1

FIRST = RIGHT
"""The foot that begins to walk: always the same, so that a motion's phase follows from its parameters."""

FEET = {"left": LEFT, "right": RIGHT}
"""The feet by name."""

OUTWARD = 0.12
"""How far standing feet point outwards."""

HANGING = {"upper_arm": (0.03, 0.16), "forearm": (0.26, 0.10)}


@dataclass(frozen=True)
class Stance:
    """Position and heading of a standing body.

    Attributes:
      x: of the pelvis.
      z: of the pelvis.
      yaw: where it faces.
    """

    x: float = 0.0
    z: float = 0.0
    yaw: float = 0.0

    def move(self, right: float = 0.0, ahead: float = 0.0, turn: float = 0.0) -> "Stance":
        """The stance after going along the body's axes, `right` counted negative to the left, and then turning."""
        x, z = body.rotate_ground(np.float64(-right), np.float64(ahead), np.float64(self.yaw))
        return Stance(self.x + float(x), self.z + float(z), self.yaw + turn)

    def foot(self, side: int) -> tuple[float, float]:
        """Foot placement: x and z of the toes of a foot."""
        x, z = body.rotate_ground(
            np.float64(body.SIDES[side] * body.STANCE), np.float64(body.TOES_AHEAD), np.float64(self.yaw)
        )
        return self.x + float(x), self.z + float(z)


@dataclass(frozen=True)
class Style:
    """Style of a performer.

    Attributes:
      size: how large movements are; 1 is the average.
      arms: how far the arms hang from the body, in radians more than usual.
      lean: forward tilt of the trunk.
    """

    size: float = 1.0
    arms: float = 0.0
    lean: float = 0.0


def ease(t: np.ndarray, start: float, end: float) -> np.ndarray:
    """Minimum-jerk easing (quintic smootherstep) from 0 at `start` to 1 at `end`."""
    s = np.clip((t - start) / max(end - start, 1e-6), 0.0, 1.0)
    return s**3 * (10 + s * (6 * s - 15))


def curve(t: np.ndarray, knots: list[tuple[float, float]]) -> np.ndarray:
    """Piecewise minimum-jerk interpolation of `knots` (time, value); the curve rests at each."""
    value = np.full(t.shape, float(knots[0][1]))
    for (t0, v0), (t1, v1) in pairwise(knots):
        if v1 != v0:
            value = value + (v1 - v0) * ease(t, t0, t1)
    return value


def pulse(t: np.ndarray, up: float, top: float, fall: float, end: float) -> np.ndarray:
    """Smooth trapezoidal pulse: rises to 1 between `up` and `top`, stays, falls to 0 between `fall` and `end`."""
    return ease(t, up, top) - ease(t, fall, end)


def gaussian_smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian low-pass filter over frames (the first axis); the ends are held."""
    radius = max(1, int(np.ceil(3 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    padded = np.concatenate([values[:1].repeat(radius, 0), values, values[-1:].repeat(radius, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis=0)
    return windows @ kernel


class Score:
    """The controls of one action while it is being written; it begins, and mostly ends, as a standing body.

    Attributes:
      t: number of every frame.
      controls: what is written into.
      style: how this performer moves.
      stance: where the body stands after what has been written so far.
    """

    def __init__(self, frames: int, stance: Stance, style: Style):
        self.t: Frames = np.arange(frames, dtype=float)
        self.frames, self.stance, self.style = frames, stance, style
        self.centres: Float[np.ndarray, "frames 2 2"] = np.tile([stance.x, stance.z], (frames, 2, 1))
        self.yaws = np.full((frames, 2), stance.yaw)
        feet = np.array([[x, 0.0, z] for x, z in map(stance.foot, (LEFT, RIGHT))])
        arms = {name: np.tile(angles, (frames, 2, 1)) for name, angles in HANGING.items()}
        arms["upper_arm"][..., 1] += style.arms
        trunk = np.zeros((frames, 3))
        trunk[:, 0] = 0.04 + style.lean
        self.controls = Controls(
            ground=np.tile([stance.x, stance.z], (frames, 1)),
            height=np.full(frames, body.STANDING),
            heading=np.full(frames, stance.yaw),
            hips=np.zeros((frames, 3)),
            trunk=trunk,
            head=np.zeros(frames),
            toes=np.tile(feet, (frames, 1, 1)),
            foot=self.yaws + OUTWARD * body.SIDES,
            heel=np.zeros((frames, 2)),
            **arms,
        )

    def shift(self, ahead: np.ndarray | float = 0.0, left: np.ndarray | float = 0.0) -> None:
        """Move the pelvis over the ground, along the body's axes."""
        x, z = body.rotate_ground(np.asarray(left), np.asarray(ahead), self.controls.heading)
        self.controls.ground += np.stack(np.broadcast_arrays(x, z), axis=-1)

    def move_foot(self, side: int, ahead: np.ndarray, left: np.ndarray, up: np.ndarray, heel: np.ndarray) -> None:
        """Move one foot from where it stands, along the body's axes."""
        x, z = body.rotate_ground(left, ahead, self.controls.heading)
        self.controls.toes[:, side] += np.stack([x, np.broadcast_to(up, x.shape), z], axis=-1)
        self.controls.heel[:, side] += heel

    def arm(self, side: int, share: np.ndarray, upper: tuple, fore: tuple) -> None:
        """Brings an arm towards (forward, outward) angles of its two parts, by `share` of the way in every frame."""
        for now, target in ((self.controls.upper_arm, upper), (self.controls.forearm, fore)):
            goal = np.stack(np.broadcast_arrays(*target, self.t)[:2], axis=-1)
            now[:, side] += share[:, None] * (goal - now[:, side])

    def step(
        self,
        side: int,
        start: float,
        end: float,
        to: Stance,
        *,
        lift: float = 0.09,
        roll: float = 0.7,
        landing: float = -0.22,
    ) -> None:
        """One foot leaves its place at `start` and stands at its place in the stance `to` at `end`.

        Args:
          side: the foot.
          start: frame at which the toes leave the ground.
          end: frame at which they are down again.
          to: stance that the foot goes to.
          lift: how high the toes rise.
          roll: lift of the heel when the toes leave.
          landing: lift of the heel shortly before landing; negative lands on the heel.
        """
        span = end - start
        share = ease(self.t, start, end)
        arc = np.sin(np.pi * np.clip((self.t - start) / span, 0, 1)) ** 1.5
        x, z = to.foot(side)
        toes = self.controls.toes[:, side]
        toes += share[:, None] * ([x, 0.0, z] - toes[-1]) + arc[:, None] * [0.0, lift, 0.0]
        self.centres[:, side] += share[:, None] * ([to.x, to.z] - self.centres[-1, side])
        self.yaws[:, side] += share * (to.yaw - self.yaws[-1, side])
        times = start + span * np.array([-0.45, 0.0, 0.15, 0.6, 0.85, 1.0])
        self.controls.heel[:, side] += np.interp(self.t, times, [0.0, 0.6 * roll, roll, 0.15 * roll, landing, 0.0])
        self.stance = to

    def follow(self, sigma: float, sway: float = 0.02) -> None:
        """Low-pass filter pelvis and heading after the feet; the weight goes over the foot that stands."""
        centre = self.centres.mean(axis=1)
        self.controls.ground = self._smooth_between_ends(centre, sigma)
        self.controls.heading = self._smooth_between_ends(self.yaws.mean(axis=1)[:, None], sigma)[:, 0]
        self.controls.foot = self.yaws + OUTWARD * body.SIDES
        up = np.clip(self.controls.toes[..., 1] / 0.06, 0, 1)
        self.shift(left=sway * gaussian_smooth(up[:, RIGHT] - up[:, LEFT], 2.0))

    def _smooth_between_ends(self, path: np.ndarray, sigma: float) -> np.ndarray:
        """Smooth a path, but keep its very first and last values."""
        smooth = gaussian_smooth(path, sigma)
        away = self.t[:, None]
        begin = 1 - ease(away, 0, 2 * sigma)
        finish = ease(away, self.frames - 1 - 2 * sigma, self.frames - 1)
        return smooth + begin * (path[0] - smooth[0]) + finish * (path[-1] - smooth[-1])

    def stride(self) -> Frames:
        """Stride: how far the right foot is ahead of the left one."""
        gap = self.controls.toes[:, RIGHT] - self.controls.toes[:, LEFT]
        heading = self.controls.heading
        return gaussian_smooth(gap[:, 0] * np.sin(heading) + gap[:, 2] * np.cos(heading), 1.0)

    def swing_arms(self, gain: float, bend: float, moving: Frames) -> None:
        """Arms swing against the legs, elbows bend, shoulders turn against the hips, while `moving` is 1."""
        stride = self.stride() * pulse(self.t, -1, 4, self.frames - 5, self.frames)
        for side, sign in enumerate(body.SIDES):
            forward = gain * sign * stride
            self.controls.upper_arm[:, side, 0] += forward - 0.25 * bend * moving
            self.controls.forearm[:, side, 0] += forward + moving * bend * (1 + 0.2 * np.clip(forward, -1, 1))
        self.controls.hips[:, 1] += 0.16 * stride
        self.controls.trunk[:, 1] -= 0.30 * stride


def lower_pelvis(controls: Controls) -> None:
    """Lower the pelvis where a leg would be too short, which makes the body rise and fall as it walks."""
    _, ankles = body.feet(controls)
    out = body.rotate_ground(body.HIP[0] * body.SIDES, np.zeros(2), controls.heading[:, None])
    beside = ankles[..., 0] - controls.ground[:, :1] - out[0]
    ahead = ankles[..., 2] - controls.ground[:, 1:] - out[1]
    rise = np.sqrt(np.maximum((0.99 * body.LEG) ** 2 - beside**2 - ahead**2, 0.04))
    top = (ankles[..., 1] + rise).min(axis=1) - body.HIP[1]
    padded = np.concatenate([top[:1], top[:1], top, top[-1:], top[-1:]])
    lowest = np.lib.stride_tricks.sliding_window_view(padded, 5).min(axis=-1)
    controls.height = np.minimum(controls.height, gaussian_smooth(lowest, 1.0))
