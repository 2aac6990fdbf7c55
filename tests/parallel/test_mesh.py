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


class Chip:
    """A device as `make_mesh` sees it."""

    core_on_chip, process_index = 0, 0

    def __init__(self, number: int, slice_index: int, platform: str, kind: str, coords: tuple[int, int, int]):
        self.id, self.slice_index, self.platform, self.device_kind, self.coords = (
            number,
            slice_index,
            platform,
            kind,
            coords,
        )


def chips(slices: int, width: int, height: int, platform: str = "tpu", kind: str = "TPU v6 lite") -> list[Chip]:
    """Devices of slices of `width` x `height`, those of a slice beside each other."""
    places = [(s, x, y) for s in range(slices) for y in range(height) for x in range(width)]
    return [Chip(number, s, platform, kind, (x, y, 0)) for number, (s, x, y) in enumerate(places)]


def test_data_alone_crosses_tpu_slices():
    mesh = make_mesh(4, 8, 1, devices=chips(slices=2, width=4, height=4))
    assert [{device.slice_index for device in part.flat} for part in mesh.devices] == [{0}, {0}, {1}, {1}]


def test_weights_across_tpu_slices_are_an_error():
    with pytest.raises(ValueError, match=r"mesh data 1 x fsdp 32 x tensor 1 .* choose data as a multiple of 2"):
        make_mesh(1, 32, 1, devices=chips(slices=2, width=4, height=4))


@pytest.mark.parametrize("platform", ["gpu", "cpu"])
def test_hosts_without_tpus_may_be_crossed_by_any_axis(platform):
    mesh = make_mesh(1, 16, 1, devices=chips(slices=2, width=4, height=2, platform=platform))
    assert [device.id for device in mesh.devices.flat] == list(range(16))


def test_an_axis_may_be_a_part_of_one_side_of_a_slice_of_any_kind():
    assert dict(make_mesh(4, 64, 1, devices=chips(slices=1, width=16, height=16)).shape)["fsdp"] == 64
