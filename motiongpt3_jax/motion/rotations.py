"""Quaternions: rotations as unit quaternions (w, x, y, z), over any leading axes, in the precision of the input."""

import numpy as np
from jaxtyping import Float

Quaternion = Float[np.ndarray, "*batch 4"]
Vector = Float[np.ndarray, "*batch 3"]
SixD = Float[np.ndarray, "*batch 6"]


def multiply(a: Quaternion, b: Quaternion) -> Quaternion:
    """Hamilton product: the rotation that first turns by `b`, then by `a`."""
    aw, ax, ay, az = np.moveaxis(np.asarray(a), -1, 0)
    bw, bx, by, bz = np.moveaxis(np.asarray(b), -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def inverse(q: Quaternion) -> Quaternion:
    """Inverse (conjugate) of a unit quaternion: the rotation that undoes `q`."""
    q = np.asarray(q)
    return q * np.array([1, -1, -1, -1], q.dtype)


def rotate(q: Quaternion, v: Vector) -> Vector:
    """Rotate vectors by quaternions; leading axes broadcast."""
    q, v = np.asarray(q), np.asarray(v)
    twice = 2 * cross(q[..., 1:], v)
    return v + q[..., :1] * twice + cross(q[..., 1:], twice)


def cross(a: Vector, b: Vector) -> Vector:
    """Cross product; numpy's own is several times slower on short vectors."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)


def unit(v: Float[np.ndarray, "*batch n"]) -> Float[np.ndarray, "*batch n"]:
    """Normalise vectors to length 1; zero stays zero."""
    v = np.asarray(v)
    length = np.linalg.norm(v, axis=-1, keepdims=True)
    return v / np.where(length > 0, length, 1)


def between(a: Vector, b: Vector) -> Quaternion:
    """Shortest-arc rotation that turns the direction of `a` into that of `b`.

    A half turn, whose axis is free, goes about an axis perpendicular to `a`; a vector of length 0 gives no rotation.
    """
    a, b = np.broadcast_arrays(unit(a), unit(b))
    q = np.concatenate([1 + np.sum(a * b, axis=-1, keepdims=True), cross(a, b)], axis=-1)
    opposite = np.linalg.norm(q, axis=-1, keepdims=True) < 8 * np.finfo(q.dtype).eps
    if opposite.any():
        least = np.eye(3, dtype=a.dtype)[np.argmin(np.abs(a), axis=-1)]
        half_turn = np.concatenate([np.zeros_like(q[..., :1]), cross(a, least)], axis=-1)
        q = np.where(opposite, half_turn, q)
    return unit(q)


def about_y(angle: Float[np.ndarray, "*batch"]) -> Quaternion:
    """Yaw rotation: by `angle` radians about the vertical."""
    half = np.asarray(angle) / 2
    zero = np.zeros_like(half)
    return np.stack([np.cos(half), zero, np.sin(half), zero], axis=-1)


def to_matrix(q: Quaternion) -> Float[np.ndarray, "*batch 3 3"]:
    """Rotation matrices, which turn column vectors."""
    q = np.asarray(q)
    columns = [rotate(q, axis) for axis in np.eye(3, dtype=q.dtype)]
    return np.stack(columns, axis=-1)


def to_6d(q: Quaternion) -> SixD:
    """6D rotation representation: the first two columns of the matrix, one after the other (Zhou et al. 2019)."""
    q = np.asarray(q)
    return np.concatenate([rotate(q, axis) for axis in np.eye(3, dtype=q.dtype)[:2]], axis=-1)


def from_matrix(matrix: Float[np.ndarray, "*batch 3 3"]) -> Quaternion:
    """Quaternions from rotation matrices (Shepperd's method), with w >= 0."""
    m = np.asarray(matrix)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 1, 0] + m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 2, 1] + m[..., 1, 2]
    # Row i is the quaternion times 4 times its own component i; the largest component divides most safely.
    rows = (
        (1 + xx + yy + zz, wx, wy, wz),
        (wx, 1 + xx - yy - zz, xy, xz),
        (wy, xy, 1 - xx + yy - zz, yz),
        (wz, xz, yz, 1 - xx - yy + zz),
    )
    rows = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    best = np.argmax(np.diagonal(rows, axis1=-2, axis2=-1), axis=-1)
    q = unit(np.take_along_axis(rows, best[..., None, None], axis=-2)[..., 0, :])
    return np.where(q[..., :1] < 0, -q, q)


def to_axis_angle(q: Quaternion) -> Vector:
    """Rotation vectors: the axis times the angle in radians, at most pi."""
    q = np.asarray(q)
    q = np.where(q[..., :1] < 0, -q, q)
    length = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    return unit(q[..., 1:]) * 2 * np.arctan2(length, q[..., :1])


def from_axis_angle(v: Vector) -> Quaternion:
    """Unit quaternions of rotation vectors, with w >= 0 up to half a turn."""
    v = np.asarray(v)
    half = np.linalg.norm(v, axis=-1, keepdims=True) / 2
    return np.concatenate([np.cos(half), unit(v) * np.sin(half)], axis=-1)
