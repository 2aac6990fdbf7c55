"""Detect whether features are raw, or normalised with the mean and std of a data set."""

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton


def looks_normalised(features: Float[np.ndarray, "frames features"], skeleton: Skeleton = HUMANML3D) -> bool:
    """Whether features are normalised: the columns of their 6D rotations are no unit vectors, as raw ones are.

    Columns that a model made miss a length of 1 by hundredths, those of normalised features by a half. Height and
    contacts decide nothing: normalised values of both can be values that raw features have.
    """
    others = len(skeleton.joints) - 1
    columns = features[:, 4 + 3 * others : 4 + 9 * others].reshape(len(features), 2 * others, 3)
    return bool(np.median(np.abs(np.linalg.norm(columns, axis=-1) - 1)) > 0.15)
