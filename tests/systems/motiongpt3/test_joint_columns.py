"""Terms of the VAE's loss follow the joints of the features' skeleton."""

import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import HUMANML3D_COLUMNS, vae_loss
from motiongpt3_jax.motion import HUMANML3D, KIT
from motiongpt3_jax.systems.motiongpt3.losses import joint_columns


def column(skeleton, name, axis=0):
    """The feature column of a joint's position."""
    return 4 + 3 * (skeleton.joints.index(name) - 1) + axis


@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=lambda skeleton: skeleton.name)
def test_positions_are_those_of_all_joints_but_the_root(skeleton):
    positions = joint_columns(skeleton.features).positions
    assert (positions.start, positions.stop) == (4, column(skeleton, skeleton.joints[-1], axis=2) + 1)


def test_columns_of_263_features_are_the_usual_ones():
    columns = joint_columns(263)
    assert columns.positions == HUMANML3D_COLUMNS.positions
    np.testing.assert_array_equal(columns.feet, HUMANML3D_COLUMNS.feet)


def test_kits_feet_count_and_its_wrists_do_not():
    features, latents, columns = jnp.zeros((1, 3, 251)), jnp.zeros((1, 1, 2)), joint_columns(251)

    def feet(joint: str) -> float:
        decoded = features.at[0, :, column(KIT, joint)].set(0.5)
        sums, _ = vae_loss(features, decoded, latents, latents, jnp.array([3]), False, columns)
        return float(sums["feet"])

    assert [feet(joint) for joint in ("left_foot", "right_heel", "right_wrist")] == pytest.approx([1.5, 1.5, 0.0])
