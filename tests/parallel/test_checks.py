import pytest

from motiongpt3_jax.parallel.checks import BatchSize, check_divides


def axes(data=1, fsdp=1, tensor=1):
    return {"data": data, "fsdp": fsdp, "tensor": tensor}


def test_what_divides_passes():
    check_divides(axes(2, 2, 4), {"one": BatchSize(16, 2), "two": BatchSize(4)}, heads=12)


@pytest.mark.parametrize(
    ("mesh", "batch", "heads", "message"),
    [
        (axes(2, 4), BatchSize(12), 4, "stage 'last': a batch of 12 rows does not divide over data x fsdp = 8 devices"),
        (axes(3), BatchSize(8), 4, "choose a multiple of 3 rows"),
        (
            axes(4),
            BatchSize(8, 4),
            4,
            "the 2 rows of each of data x fsdp = 4 devices do not divide into accumulate = 4",
        ),
        (axes(), BatchSize(8, 3), 4, "choose a multiple of 3 rows, or another accumulate"),
        (axes(tensor=8), BatchSize(8), 12, "mesh.tensor is 8, which does not divide 12 attention heads"),
        (axes(), BatchSize(0), 4, "stage 'last' has 0 rows in 1 micro-batches"),
    ],
)
def test_what_a_late_stage_cannot_split_is_said_before_the_first(mesh, batch, heads, message):
    with pytest.raises(ValueError, match=message):
        check_divides(mesh, {"first": BatchSize(24, 1), "last": batch}, heads)
