import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh
from jax.sharding import PartitionSpec as P

from motiongpt3_jax.models import DECODER_RULES
from motiongpt3_jax.parallel import constrain, make_mesh, put_batch
from motiongpt3_jax.parallel.sharding import spec, whole_parts

MESH = AbstractMesh((2, 2, 2), ("data", "fsdp", "tensor"))
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("prefix", ["", "params/", "optimizer/1/mu/"])
def test_optimizer_state_lies_where_its_parameter_lies(prefix):
    assert spec(MESH, f"{prefix}decoder/layers/text/up/kernel", (12, 4, 8), DECODER_RULES) == P(None, "fsdp", "tensor")


@pytest.mark.parametrize(
    ("path", "shape", "wanted"),
    [
        ("q/kernel", (12, 8, 4, 6), P(None, "fsdp", "tensor", None)),
        ("v/bias", (12, 4, 6), P(None, None, None)),
        ("o/kernel", (12, 4, 6, 8), P(None, "tensor", None, "fsdp")),
        ("k/kernel", (12, 8, 3, 6), P(None, "fsdp", None, None)),
    ],
)
def test_heads_are_split_over_tensor_and_widths_over_fsdp(path, shape, wanted):
    assert spec(MESH, f"decoder/layers/text/{path}", shape, DECODER_RULES) == wanted


def test_a_systems_rules_are_its_own():
    assert spec(MESH, "codes/table", (4, 8), rules=((r"codes/.*", P(None, "tensor")),)) == P(None, "tensor")
    assert spec(MESH, "decoder/layers/text/up/kernel", (12, 4, 8), rules=()) == P(None, None, None)


def test_small_parts_of_a_model_lie_whole_and_so_does_their_optimizer_state():
    params = {
        "vae": {"embed": {"kernel": np.zeros((512, 512))}},
        "t5": {"vae": {"kernel": np.zeros((512, 1024))}},
        "null": np.zeros(3),
    }
    rules = (*whole_parts(params, 400_000), *DECODER_RULES)
    assert [pattern for pattern, _ in rules[:2]] == ["vae/.*", "null"]
    for prefix in ("", "params/", "optimizer/1/mu/"):
        assert spec(MESH, f"{prefix}vae/embed/kernel", (512, 512), rules) == P(None, None)
    assert spec(MESH, "t5/decoder/layers/text/up/kernel", (12, 4, 8), rules) == P(None, "fsdp", "tensor")
    assert whole_parts(params, 0) == []


def test_an_axis_that_does_not_divide_stays_whole():
    assert spec(MESH, "decoder/layers/text/down/kernel", (12, 3, 8), DECODER_RULES) == P(None, None, "fsdp")


def test_a_big_array_without_a_rule_is_split_along_its_longest_axis():
    assert spec(MESH, "head/blocks/kernel", (1024, 3072)) == P(None, "fsdp")


def test_the_axis_of_stacked_layers_is_never_split():
    assert spec(MESH, "vae/layers/anything/kernel", (2**16, 2, 3)) == P(None, "fsdp", None)


def test_small_arrays_without_a_rule_are_everywhere():
    assert spec(MESH, "null_condition", (4, 768)) == P(None, None)


def test_rows_that_do_not_divide_over_the_mesh_are_an_error():
    class TwoShares:
        shape = {"data": 2, "fsdp": 1, "tensor": 1}  # noqa: RUF012

    with pytest.raises(ValueError, match="3 rows does not divide over data x fsdp = 2 devices"):
        put_batch(TwoShares(), np.zeros((3, 1)))


def test_constrain_changes_nothing_without_a_mesh_or_on_one_device():
    x = jnp.ones((3, 2, 4))
    assert constrain("mlp", x) is x
    with jax.set_mesh(make_mesh(devices=jax.devices()[:1])):
        assert constrain("mlp", x) is x


@pytest.mark.parametrize(
    ("name", "path", "shape"),
    [
        ("mlp/kernel", "up/kernel", (4, 8)),
        ("joined/kernel", "down/kernel", (8, 4)),
        ("mlp/kernel", "up/kernel", (3, 8)),
    ],
)
def test_the_gradient_of_a_kernel_is_split_as_the_kernel_is_stored(name, path, shape):
    with jax.sharding.use_abstract_mesh(MESH):
        (equation,) = jax.make_jaxpr(lambda x: constrain(f"{name}/gradient", x))(jnp.zeros(shape)).eqns
    stored = spec(MESH, f"decoder/layers/text/{path}", (12, *shape), DECODER_RULES)
    assert equation.params["sharding"].spec == P(*stored[1:])


@pytest.mark.slow
def test_eight_devices_give_the_losses_of_one(tmp_path):
    flags = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"}
    command = [sys.executable, "-m", "tests.parallel.eight_devices", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | flags, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(found["eight"], found["one"], rtol=1e-5)
    np.testing.assert_allclose(found["accumulated"], found["one"], rtol=1e-5)
    # Of (1, 3, 8), 3 does not divide over fsdp and 8 does over tensor; of (8, 3, 4) all that should does.
    assert found["kernel"] == found["first_moment"] == [1, 3, 4]
    assert found["mlp"] == [2, 3, 2]
    assert found["alone"] == [1, 1]  # devices, and devices of the mesh
    assert found["restored_equal"]
    assert found["frozen_equal"]
    for reference, kernel in zip(*found["attention"], strict=True):
        np.testing.assert_allclose(kernel, reference, rtol=0, atol=1e-5 * max(1.0, np.abs(reference).max()))
    one, eight = ({name: np.asarray(x) for name, x in part.items()} for part in found["codebooks"])
    sure = one["margins"] > 1e-2
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(eight["codes"][sure], one["codes"][sure])
    for name in ("table", "sums", "counts"):
        np.testing.assert_allclose(eight[name], one[name], rtol=1e-5, atol=1e-6, err_msg=name)
