"""Comparison of joints that random weights make, which are far larger than metres."""

import numpy as np


def check_same_joints(found, expected):
    """Raises AssertionError unless joints are equal to rounding, which another processor has its own of."""
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
