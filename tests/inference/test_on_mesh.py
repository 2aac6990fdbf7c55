"""A model that is split over devices answers as it does on one, and starts from a checkpoint's files part by part."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from motiongpt3_jax.inference.on_mesh import open_mesh
from tests.inference.models import model_folder
from tests.systems.llama import LLAMA

ROOT = Path(__file__).parents[2]


def on_eight_devices(folder, *cases):
    flags = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"}
    command = [sys.executable, "-m", "tests.inference.eight_devices", str(folder), *cases]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | flags, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return on_eight_devices(tmp_path_factory.mktemp("eight"), "start")


@pytest.mark.slow
def test_a_caption_on_two_devices_is_that_of_one(tmp_path):
    one, two = on_eight_devices(tmp_path, "captions")["captions"]
    assert one == two
    assert one[0]


@pytest.mark.slow
def test_motions_and_captions_on_a_mesh_are_those_of_one_device(tmp_path):
    found = on_eight_devices(tmp_path, "gpt2", "llama")
    for answers in (*found["gpt2"], *found["llama"]):
        assert answers["far"] < 1e-4 * answers["large"]
        assert answers["other_texts"] == answers["texts"]
        assert all(answers["texts"])
    # Each device holds its part of the parameters.
    assert [(answers["devices"], answers["share"]) for answers in found["gpt2"]] == [(8, 0.5), (2, 1.0)]


@pytest.mark.slow
def test_a_pretrained_branch_is_read_once_and_by_the_parts_of_the_devices(found):
    read = found["start"]["read"]
    for name, (asked, most, size) in read.items():
        assert asked == size, name
        if "_proj" in name:
            # fsdp x tensor = 4 devices share each; the two along data hold the same.
            assert most == size // 4, name


@pytest.mark.slow
def test_a_start_on_a_mesh_is_that_of_one_device_and_its_fresh_branch_is_split_too(found):
    assert found["start"]["same"]
    assert found["start"]["motion_share"] == 0.25


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"model": 2}, "a mesh has no axis 'model'; its axes are data, fsdp, tensor"),
        ({"data": 64}, "the mesh data 64 x fsdp 1 x tensor 1 takes 64 devices, and there are 1"),
    ],
)
def test_devices_that_there_are_not_are_said(axes, message):
    with pytest.raises(ValueError, match=message):
        open_mesh(axes, model_folder())


def test_the_mesh_of_one_device_is_one_device():
    assert open_mesh(None, model_folder(*LLAMA)) is None
    assert open_mesh({"tensor": 1}, model_folder(*LLAMA)).size == 1
