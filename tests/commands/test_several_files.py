"""Several files in one command: one that cannot be used ends nothing for the others."""

import json

import numpy as np
import pytest

from motiongpt3_jax.data_pipelines.procedural import generate
from motiongpt3_jax.motion import Motion, save_motion
from tests.commands.conftest import call
from tests.motion.samples import dance
from tests.quick import one_quick


@pytest.fixture
def good(tmp_path):
    """Two files that every command can use."""
    joints = generate(0).joints.astype(np.float32)[:40]
    paths = [tmp_path / "one.npy", tmp_path / "two.npy"]
    for path in paths:
        np.save(path, joints)
    return paths


def bad_files(folder) -> dict[str, str]:
    """Files that no model can use, and what is said of each."""
    np.save(folder / "zeros.npy", np.zeros((9, 22, 3), np.float32))
    np.save(folder / "single.npy", dance(frames=1).astype(np.float32))
    save_motion(folder / "two_frames.npz", Motion(dance(frames=2)[None], 30.0))
    (folder / "lfs.npy").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    return {
        "zeros.npy": "shows no body",
        "single.npy": "has a single frame",
        "two_frames.npz": "has 2 frames at 30 a second, which is 1 at the model's 20",
        "lfs.npy": "is a Git LFS pointer",
        "nowhere.npy": "does not exist",
    }


def test_captions_of_good_files_come_whatever_the_others_are(trained, tmp_path, good):
    bad = bad_files(tmp_path)
    asked = [good[0], *(tmp_path / name for name in bad), good[1]]
    status, out, error = call("caption", "--model", trained, "--motion", *asked, "--json", tmp_path / "said.json")
    assert status == 2
    assert [line.partition(": ")[0] for line in out.splitlines()] == [str(path) for path in good]
    assert json.loads((tmp_path / "said.json").read_text()).keys() == {str(path) for path in good}
    for name, what in bad.items():
        assert any(str(tmp_path / name) in line and what in line for line in error.splitlines()), f"{name}\n{error}"


@pytest.mark.parametrize("name", ["zeros.npy", "two_frames.npz"])
def test_a_bad_file_alone_is_one_sentence_that_names_it(trained, tmp_path, name):
    what = bad_files(tmp_path)[name]
    status, out, error = call("caption", "--model", trained, "--motion", tmp_path / name)
    assert (status, out) == (2, "")
    assert error.splitlines()[-1].startswith(f"motiongpt3 caption: motion '{tmp_path / name}' {what}")
    assert "left out" not in error


@one_quick("name", ["single.npy", "two_frames.npz", "lfs.npy"])
def test_a_bad_file_of_a_conversation_is_named(trained, tmp_path, name):
    what = bad_files(tmp_path)[name]
    asked = (f"What is <motion:{tmp_path / name}>?", "--format", "none", "--out", tmp_path / "out")
    status, _, error = call("chat", "--model", trained, *asked)
    assert status == 2
    assert f"motion '{tmp_path / name}' {what}" in error
    assert not list((tmp_path / "out").glob("*"))


@one_quick("command", ["predict", "inbetween"])
def test_predictions_of_good_files_come_whatever_the_others_are(trained, tmp_path, good, command):
    bad = [tmp_path / name for name in bad_files(tmp_path) if name != "nowhere.npy"]
    asked = ("--motion", good[0], *bad, "--steps", "1", "--format", "none", "--seconds", "3", "--out", tmp_path / "out")
    status, out, error = call(command, "--model", trained, *asked)
    assert status == 2, error
    assert "1 motions in" in out
    listed = json.loads((tmp_path / "out" / "manifest.json").read_text())["motions"]
    assert [motion["motion"] for motion in listed] == [str(good[0])]
    assert all(str(path) in error for path in bad)


def test_convert_goes_on_after_a_bad_file_and_not_after_a_wrong_mapping(tmp_path, good):
    bad = [tmp_path / name for name in ("zeros.npy", "lfs.npy") if bad_files(tmp_path)]
    status, out, error = call("convert", "--motion", *bad, *good, "--to", "npz")
    assert status == 2
    assert out.split() == [str(path.with_suffix(".npz")) for path in good]
    assert error.count("left out: motion") == 2
    status, out, error = call("convert", "--motion", *good, "--to", "npz", "--mapping", tmp_path / "nowhere.json")
    assert (status, out) == (2, "")
    assert "left out" not in error


def test_nothing_is_written_where_no_file_can_be_used(tmp_path):
    bad = [tmp_path / name for name in ("zeros.npy", "lfs.npy") if bad_files(tmp_path)]
    status, out, error = call("convert", "--motion", *bad, "--to", "bvh", "--out", tmp_path / "out")
    assert (status, out) == (2, "")
    assert "none of the 2 motion files can be used, see above" in error
    assert not (tmp_path / "out").exists()


def test_lengths_that_a_file_marks_are_taken(trained, tmp_path):
    (tmp_path / "prompts.txt").write_text("a person walks#24\na person jumps#30\n")
    fast = ("--steps", "1", "--format", "none", "--out", tmp_path / "made")
    status, _, error = call("generate", "--model", trained, "--file", tmp_path / "prompts.txt", *fast)
    assert status == 0, error
    assert "prompts.txt marks lengths in frames, which 2 of the motions get" in error
    listed = json.loads((tmp_path / "made" / "manifest.json").read_text())["motions"]
    assert [(motion["text"], motion["frames"]) for motion in listed] == [("a person walks", 24), ("a person jumps", 30)]
    (tmp_path / "prompts.txt").write_text("a person walks#99999\n")
    status, _, error = call("generate", "--model", trained, "--file", tmp_path / "prompts.txt", *fast)
    assert status == 2
    assert "'a person walks' in " in error
    assert "99999 is out of range" in error
