import json
from argparse import Namespace

import pytest

from motiongpt3_jax.commands.results import Result, bend_note, write_results
from motiongpt3_jax.inference.continuation import Bend
from motiongpt3_jax.motion import Motion
from motiongpt3_jax.motion.seams import Correction
from tests.motion.samples import dance


def write(folder, count: int, **how) -> set[str]:
    """Writes results as a command does; returns what lies in the folder."""
    results = [Result(Motion(dance(frames=3)[None]), "a walk")] * count
    write_results(folder, Namespace(**{"format": "none", "also": [], **how}), results, "Motions", {})
    return {path.name for path in folder.iterdir()}


def test_files_of_a_larger_run_do_not_stay_beside_a_new_manifest(tmp_path, capsys):
    assert {"motion_000.npy", "motion_001.npy", "motion_002.bvh"} < write(tmp_path, 3, also=["bvh"])
    assert capsys.readouterr().out == ""
    assert write(tmp_path, 1) == {"motion_000.npy", "index.html", "manifest.json"}
    said = capsys.readouterr().out
    assert "of an earlier run: motion_000.bvh, motion_001.bvh, motion_001.npy, motion_002.bvh" in said


def test_files_that_no_run_listed_stay(tmp_path):
    write(tmp_path, 2)
    kept = {"motion_007.npy", "notes.txt", "motion_001.md"}
    for name in kept:
        (tmp_path / name).write_text("mine")
    (tmp_path.parent / "motion_001.npy").write_text("a neighbour's")
    listed = json.loads((tmp_path / "manifest.json").read_text())
    listed["motions"][1]["joints"] = ["../motion_001.npy", "notes.txt", "manifest.json"]
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    assert kept <= write(tmp_path, 1)
    assert (tmp_path.parent / "motion_001.npy").is_file()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"motions": 5}', '{"motions": [5]}', "[" * 100_000])
def test_a_manifest_that_is_none_is_written_over(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    assert "motion_000.npy" in write(tmp_path, 1)
    assert len(json.loads((tmp_path / "manifest.json").read_text())["motions"]) == 1


@pytest.mark.parametrize(
    ("place", "stretch", "acceleration", "said"),
    [
        (0.0, 0.0, 0.02, "bent 1.0 cm on average, 20 cm at most"),
        (1.5, 0.0, 0.02, "carried 150 cm and turned 90 degrees, bent 1.0 cm on average, 20 cm at most"),
        (0.0, 0.04, 0.02, "at most, a limb whirls at the seam, where its bones give way by 4 cm"),
        (0.0, 0.04, 0.05, "at most, too few frames for the way between: ask for more with --seconds"),
    ],
)
def test_what_it_took_to_meet_the_given_frames_is_said(place, stretch, acceleration, said):
    bend = Bend(place, 1.5708, Correction(0.01, 0.2, stretch, acceleration, 0.02))
    assert bend_note(bend).endswith(said)
