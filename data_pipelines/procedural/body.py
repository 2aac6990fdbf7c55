"""Rig of an average adult: controls of every frame in, joints out, by forward and inverse kinematics.

The body is symmetric and its bones never change length. It faces +z, y is up, its left is +x. Legs and feet follow
from where the toes are (two-bone inverse kinematics), so that a planted toe stays where it is; the trunk and the arms
follow from angles.
"""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float

HIP = np.array([0.075, -0.075, 0.0])
"""Left hip, seen from the pelvis; the right one is its mirror image."""

SPINE = np.array([[0.0, 0.130, -0.022], [0.0, 0.142, 0.008], [0.0, 0.056, 0.005]])
NECK = np.array([0.0, 0.217, -0.020])
COLLAR = np.array([0.072, 0.117, -0.012])
HEAD = np.array([0.0, 0.088, 0.052])
SHOULDER = np.array([0.118, 0.042, -0.015])
UPPER_ARM = 0.260
FOREARM = 0.266
THIGH = 0.392
SHIN = 0.428

LEG = THIGH + SHIN
"""Hip to ankle of a straight leg, metres, as all lengths here."""

SOLE = np.array([0.0, 0.058, -0.131])
"""The ankle, seen from the toes of a flat foot."""

_TOE = np.array([0.0, 0.010, 0.0])
"""The joint of the toes, seen from the ground below it."""

STANDING = 0.953
"""Height of the pelvis of the standing body: its knees are not quite straight."""

STANCE = 0.095
"""Half the distance between the feet of the standing body."""

TOES_AHEAD = 0.115
"""How far the toes of the standing body are ahead of its pelvis."""

SIDES = np.array([1.0, -1.0])
"""Left, right: the sign of x."""

Frames = Float[np.ndarray, "frames"]


@dataclass
class Controls:
    """Rig controls of every frame. Lengths in metres, angles in radians; sides are (left, right).

    Attributes:
      ground: x and z of the pelvis.
      height: height of the pelvis.
      heading: where the body faces, from +z towards its left.
      hips: forward tilt, turn to the left and tilt to the right of the pelvis.
      trunk: the same for the chest, seen from the pelvis.
      head: forward tilt of the head, seen from the chest.
      toes: place of the toes; y is above the ground.
      foot: where each foot points, as `heading`.
      heel: lift of the heel over the toes.
      upper_arm: forward and outward swing, seen from the chest; 0 hangs down.
      forearm: the same.
    """

    ground: Float[np.ndarray, "frames 2"]
    height: Frames
    heading: Frames
    hips: Float[np.ndarray, "frames 3"]
    trunk: Float[np.ndarray, "frames 3"]
    head: Frames
    toes: Float[np.ndarray, "frames 2 3"]
    foot: Float[np.ndarray, "frames 2"]
    heel: Float[np.ndarray, "frames 2"]
    upper_arm: Float[np.ndarray, "frames 2 2"]
    forearm: Float[np.ndarray, "frames 2 2"]

    def __len__(self) -> int:
        return len(self.height)


def concatenate(parts: list[Controls]) -> Controls:
    """Concatenate controls along the frames."""
    return Controls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Controls)))


def rotate_ground(x: np.ndarray, z: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotate a vector on the ground to the left."""
    return x * np.cos(angle) + z * np.sin(angle), z * np.cos(angle) - x * np.sin(angle)


def rotation(pitch: np.ndarray, yaw: np.ndarray, roll: np.ndarray) -> Float[np.ndarray, "*batch 3 3"]:
    """Rotation matrices of Euler angles: forward tilt, then tilt to the right (of the body), then turn to the left."""
    cp, sp, cy, sy, cr, sr = np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw), np.cos(roll), np.sin(roll)
    rows = (
        (cy * cr + sy * sp * sr, cy * -sr + sy * sp * cr, sy * cp),
        (cp * sr, cp * cr, -sp),
        (-sy * cr + cy * sp * sr, sy * sr + cy * sp * cr, cy * cp),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def pose(controls: Controls) -> Float[np.ndarray, "frames 22 3"]:
    """Forward kinematics of the controls: joints of every frame, in HumanML3D's order."""
    joints = np.empty((len(controls), 22, 3))
    _trunk(controls, joints)
    _legs(controls, joints)
    return joints.astype(np.float32)


def trunk_frames(controls: Controls) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Angles (frames, 4, 3), yaws (frames, 4) and rotation matrices (frames, 4, 3, 3) from the pelvis to the chest."""
    angles = controls.hips[:, None] + _SHARE[:, None] * controls.trunk[:, None]
    yaw = angles[..., 1] + controls.heading[:, None]
    return angles, yaw, rotation(angles[..., 0], yaw, angles[..., 2])


_SHARE = np.array([0.0, 0.4, 0.75, 1.0])
"""How much of the chest's angles the pelvis, and the bones above the three joints of the spine, have taken."""


def _trunk(controls: Controls, joints: np.ndarray) -> None:
    angles, yaw, frames = trunk_frames(controls)
    joints[:, 0] = np.stack([controls.ground[:, 0], controls.height, controls.ground[:, 1]], axis=-1)
    for side, sign in enumerate(SIDES):
        joints[:, 1 + side] = joints[:, 0] + frames[:, 0] @ (HIP * [sign, 1, 1])
    for bone, (joint, parent) in enumerate(((3, 0), (6, 3), (9, 6))):
        joints[:, joint] = joints[:, parent] + frames[:, bone] @ SPINE[bone]
    chest = frames[:, 3]
    joints[:, 12] = joints[:, 9] + chest @ NECK
    skull = rotation(angles[:, 3, 0] + controls.head, yaw[:, 3], angles[:, 3, 2])
    joints[:, 15] = joints[:, 12] + skull @ HEAD
    for side, sign in enumerate(SIDES):
        joints[:, 13 + side] = joints[:, 9] + chest @ (COLLAR * [sign, 1, 1])
        joints[:, 16 + side] = joints[:, 13 + side] + chest @ (SHOULDER * [sign, 1, 1])
        upper, lower = (_limb(swing[:, side], sign) for swing in (controls.upper_arm, controls.forearm))
        joints[:, 18 + side] = joints[:, 16 + side] + UPPER_ARM * np.einsum("fij,fj->fi", chest, upper)
        joints[:, 20 + side] = joints[:, 18 + side] + FOREARM * np.einsum("fij,fj->fi", chest, lower)


def _limb(swing: Float[np.ndarray, "frames 2"], sign: float) -> Float[np.ndarray, "frames 3"]:
    forward, outward = swing[:, 0], swing[:, 1]
    return np.stack(
        [sign * np.sin(outward), -np.cos(outward) * np.cos(forward), np.cos(outward) * np.sin(forward)], axis=-1
    )


def feet(controls: Controls) -> tuple[np.ndarray, np.ndarray]:
    """Places (frames, 2, 3) of the toes and of the ankles."""
    toes = controls.toes + _TOE
    return toes, toes + rotation(controls.heel, controls.foot, np.zeros_like(controls.heel)) @ SOLE


def _legs(controls: Controls, joints: np.ndarray) -> None:
    """Two-bone inverse kinematics of both legs, from the toes."""
    hips = joints[:, 1:3]
    pelvis = controls.heading + controls.hips[:, 1]
    toes, ankles = feet(controls)
    reach = ankles - hips
    distance = np.linalg.norm(reach, axis=-1, keepdims=True)
    along = reach / distance
    span = np.clip(distance, 0.25, 0.9995 * LEG)
    # A foot that is out of reach is pulled along: better than a longer bone.
    pull = along * span - reach
    facing = (controls.foot + pelvis[:, None]) / 2
    pole = np.stack([np.sin(facing), np.full_like(facing, 0.25), np.cos(facing)], axis=-1)
    pole -= np.sum(pole * along, axis=-1, keepdims=True) * along
    pole /= np.linalg.norm(pole, axis=-1, keepdims=True)
    before = (span**2 + THIGH**2 - SHIN**2) / (2 * span)
    knees = hips + before * along + np.sqrt(np.maximum(THIGH**2 - before**2, 0)) * pole
    joints[:, 4:6] = knees
    joints[:, 7:9] = ankles + pull
    joints[:, 10:12] = toes + pull
