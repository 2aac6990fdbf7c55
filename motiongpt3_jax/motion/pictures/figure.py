"""Bodies ready to be drawn: set on the floor, with bones, sides and a head."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.motion.motion import Motion

LEFT = "left"
RIGHT = "right"
MIDDLE = "middle"

TO_THE_RIGHT = 0.1
"""Radians by which one side has to be nearer than the other: people who face each other do so exactly at no time."""

APART = 0.05
"""Metres between two people below which there is no line between them."""


@dataclass(frozen=True)
class Figure:
    """Skeletons ready to be drawn.

    Attributes:
      joints: metres, y up; the lowest point of the motion is at y = 0.
      fps: frames per second.
      parents: parent of each joint, -1 for the root.
      sides: "left", "right" or "middle" of each joint; a bone has its lower joint's side.
      head: the head joint.
      across: right and left hip, which tell where the body faces.
    """

    joints: Float[np.ndarray, "persons frames joints 3"]
    fps: float
    parents: tuple[int, ...]
    sides: tuple[str, ...]
    head: int
    across: tuple[int, int]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.joints.shape[1]

    @property
    def bones(self) -> list[tuple[int, int, str]]:
        """(upper joint, lower joint, side) of each bone."""
        return [(p, j, self.sides[j]) for j, p in enumerate(self.parents) if p >= 0]

    @property
    def root(self) -> int:
        """The joint without a parent."""
        return self.parents.index(-1)

    def facing(self) -> Float[np.ndarray, "persons frames"]:
        """Direction that each body faces, radians from +z towards +x; held where the hips stand on end."""
        right, left = self.across
        across = self.joints[:, :, left] - self.joints[:, :, right]
        forward = np.stack([-across[..., 2], across[..., 0]], axis=-1)  # x, z of across x up
        angle = np.arctan2(forward[..., 0], forward[..., 1])
        clear = np.linalg.norm(forward, axis=-1) > 1e-3
        # The last frame before, or else the first after, whose hips say where the body faces.
        for turns, known in zip(angle, clear):
            frames = np.flatnonzero(known)
            if len(frames):
                last = np.searchsorted(frames, np.arange(len(turns)), side="right") - 1
                turns[:] = turns[frames[np.maximum(last, 0)]]
            else:
                turns[:] = 0.0
        return angle

    def front(self) -> float:
        """Direction of a viewer before the bodies, radians from +z towards +x.

        One person is seen from where it faces in the first frame. Of several the first two are seen beside each other:
        from that side of the line between them that is nearest to where the first one faces; of two who face each other
        from the first one's right.
        """
        facing = float(self.facing()[0, 0])
        if len(self.joints) == 1:
            return facing
        x, _, z = self.joints[1, 0, self.root] - self.joints[0, 0, self.root]
        if np.hypot(x, z) < APART:
            return facing
        sides = np.arctan2(x, z) + np.array([-np.pi / 2, np.pi / 2])
        away = (sides - facing + np.pi) % (2 * np.pi) - np.pi
        return float(facing + away[np.argmin(np.abs(away + TO_THE_RIGHT))])

    def only(self, frame: int) -> "Figure":
        """The same bodies in one frame."""
        return replace(self, joints=self.joints[:, frame : frame + 1])

    def head_ball(self) -> tuple[Float[np.ndarray, "persons frames 3"], float]:
        """Centre and radius, in metres, of the ball that stands for the head."""
        radius = 0.062 * self.height()
        neck = self.joints[:, :, self.parents[self.head]]
        along = self.joints[:, :, self.head] - neck
        length = np.linalg.norm(along, axis=-1, keepdims=True)
        return self.joints[:, :, self.head] + along / np.maximum(length, 1e-6) * radius * 0.5, radius

    def height(self) -> float:
        """Bones from the head to the root and from there to the farthest foot: how tall the body stands, metres."""
        reach, leg = np.zeros(len(self.parents)), 0.0
        for upper, lower, side in self.bones:
            reach[lower] = reach[upper] + np.median(
                np.linalg.norm(self.joints[:, :, lower] - self.joints[:, :, upper], axis=-1)
            )
            below = side != MIDDLE and self.limb_root(lower) == self.root
            leg = max(leg, reach[lower]) if below else leg
        return float(np.clip(reach[self.head] + leg, 0.3, 3.0))

    def limb_root(self, joint: int) -> int:
        """The trunk's joint that a limb's joint hangs from."""
        while self.sides[joint] != MIDDLE:
            joint = self.parents[joint]
        return joint


def as_figure(motion: Motion) -> Figure:
    """Set a motion on the floor and find the sides of its bones."""
    joints = motion.joints.astype(np.float64)
    joints[..., 1] -= joints[..., 1].min()
    skeleton = motion.skeleton
    sides = [MIDDLE] * len(skeleton.joints)
    for left, right in skeleton.sides:
        sides[left], sides[right] = LEFT, RIGHT
    return Figure(joints, motion.fps, skeleton.parents, tuple(sides), skeleton.joints.index("head"), skeleton.hips)
