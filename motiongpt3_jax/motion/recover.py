"""Features to joints: HumanML3D's recover_from_ric (Guo et al. 2022), for numpy and JAX arrays alike."""

from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton

Array = np.ndarray | jax.Array


class Root(NamedTuple):
    """Root trajectory: heading and position.

    Attributes:
      heading: quaternions (w, x, y, z) that turn the body to face +z.
      position: the root's path, in metres.
    """

    heading: Float[Array, "*batch frames 4"]
    position: Float[Array, "*batch frames 3"]


def features_to_joints(
    features: Float[Array, "*batch frames features"], skeleton: Skeleton = HUMANML3D
) -> Float[Array, "*batch frames joints 3"]:
    """Recover joints, in metres, from raw (not normalised) features, from the origin and facing +z.

    numpy arrays give numpy arrays, computed in float64 and returned as float32. JAX arrays give JAX arrays in their
    own precision; there the function can be compiled and differentiated.

    Raises:
      UserError: the last axis has another size than the skeleton's features.
    """
    if features.ndim < 2 or features.shape[-1] != skeleton.features:
        raise UserError(
            f"features have shape {features.shape}; expected (..., frames, {skeleton.features}) "
            f"for the skeleton '{skeleton.name}'."
        )
    xp, features = _backend(features)
    angle, position = _root(xp, features, skeleton)
    others = len(skeleton.joints) - 1
    relative = skeleton.unit * features[..., 4 : 4 + 3 * others].reshape(*features.shape[:-1], others, 3)
    x, z = _rotate_back(xp, angle[..., None], relative[..., 0], relative[..., 2])
    positions = xp.stack([x + position[..., None, 0], relative[..., 1], z + position[..., None, 2]], axis=-1)
    joints = xp.concatenate([position[..., None, :], positions], axis=-2)
    return joints.astype(np.float32) if xp is np else joints


def recover_root(features: Float[Array, "*batch frames features"], skeleton: Skeleton = HUMANML3D) -> Root:
    """Integrate the root trajectory of raw features; arrays as for `features_to_joints`."""
    xp, features = _backend(features)
    angle, position = _root(xp, features, skeleton)
    zero = xp.zeros_like(angle)
    return Root(xp.stack([xp.cos(angle), zero, xp.sin(angle), zero], axis=-1), position)


def _backend(features: Array) -> tuple[ModuleType, Array]:
    return (jnp, features) if isinstance(features, jax.Array) else (np, np.asarray(features, np.float64))


def _root(xp: ModuleType, features: Any, skeleton: Skeleton) -> tuple[Any, Any]:
    # A frame's velocities lead to the next frame; the first frame is where everything counts from.
    before = xp.concatenate([xp.zeros_like(features[..., :1, :3]), features[..., :-1, :3]], axis=-2)
    angle = xp.cumsum(before[..., 0], axis=-1)
    x, z = _rotate_back(xp, angle, before[..., 1], before[..., 2])
    path = xp.stack([xp.cumsum(x, axis=-1), features[..., 3], xp.cumsum(z, axis=-1)], axis=-1)
    return angle, skeleton.unit * path


def _rotate_back(xp: ModuleType, angle: Any, x: Any, z: Any) -> tuple[Any, Any]:
    # `angle` is half the turn about the vertical, as in a quaternion.
    cos, sin = xp.cos(2 * angle), xp.sin(2 * angle)
    return x * cos - z * sin, x * sin + z * cos
