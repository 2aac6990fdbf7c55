import jax
import pytest

from motiongpt3_jax.parallel import make_mesh


def test_all_devices_lie_along_data_when_nothing_is_said():
    assert dict(make_mesh().shape) == {"data": jax.device_count(), "fsdp": 1, "tensor": 1}


def test_a_mesh_that_does_not_fill_the_devices_is_an_error():
    with pytest.raises(ValueError, match="mesh data 2 x fsdp 1 x tensor 3 does not fill 1 devices"):
        make_mesh(2, 1, 3, devices=jax.devices()[:1])


def test_an_axis_of_no_devices_is_an_error():
    with pytest.raises(ValueError, match="mesh data 1 x fsdp 0 x tensor 1 does not fill 1 devices"):
        make_mesh(None, 0, 1, devices=jax.devices()[:1])
