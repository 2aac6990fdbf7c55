import os
import shutil
import subprocess
import sys

import pytest

from motiongpt3_jax.__main__ import main
from motiongpt3_jax.data_pipelines.records import open_records
from tests.data_pipelines.interhuman_folder import interhuman
from tests.data_pipelines.samples import humanml3d
from tests.quick import one_quick

LIMITS = ("--min-frames", "5", "--max-frames", "20")


@pytest.fixture
def raw(tmp_path):
    return humanml3d(tmp_path / "raw")


def data(*arguments: object) -> int:
    return main(["data", *map(str, arguments)])


def test_a_folder_is_built(raw, tmp_path, capsys):
    assert data("build", "humanml3d", "--path", raw, "--out", tmp_path / "built", *LIMITS) == 0
    assert "2 train, 1 val, 1 test" in capsys.readouterr().out
    assert open_records(tmp_path / "built").metadata.options["min_frames"] == 5


def test_procedural_clips_are_built_from_a_seed(tmp_path):
    assert data("build", "procedural", "--clips", 2, "--seed", 7, "--out", tmp_path / "built") == 0
    assert open_records(tmp_path / "built").split("train").ids == ["procedural_7_000000", "procedural_7_000001"]


def test_building_says_what_was_left_out(raw, tmp_path, capsys):
    (raw / "texts" / "b.txt").unlink()
    assert data("build", "humanml3d", "--path", raw, "--on-bad", "skip", "--out", tmp_path / "built", *LIMITS) == 0
    assert "left out, as metadata.json lists: 1; the first: texts/b.txt: does not exist" in (capsys.readouterr().out)


def test_building_from_something_broken_stops(raw, tmp_path, capsys):
    (raw / "texts" / "b.txt").unlink()
    assert data("build", "humanml3d", "--path", raw, "--out", tmp_path / "built", *LIMITS) == 2
    assert "texts/b.txt: does not exist" in capsys.readouterr().err
    assert not (tmp_path / "built").exists()


def test_a_sound_folder_passes_the_check(raw, capsys):
    assert data("check", "humanml3d", "--path", raw, *LIMITS) == 0
    assert f"{raw}: 0 bad, 0 noted" in capsys.readouterr().out


def test_notes_pass_the_check_and_are_printed(raw, capsys):
    (raw / "val.txt").unlink()
    assert data("check", "humanml3d", "--path", raw, *LIMITS) == 0
    assert "note val.txt: does not exist" in capsys.readouterr().out


def test_something_broken_does_not_pass_the_check(raw, capsys):
    (raw / "texts" / "b.txt").write_text("goes")
    assert data("check", "humanml3d", "--path", raw, *LIMITS) == 2
    assert "bad  texts/b.txt:1: has 1 fields" in capsys.readouterr().out


def test_a_built_folder_can_be_checked(raw, tmp_path):
    built = tmp_path / "built"
    data("build", "humanml3d", "--path", raw, "--out", built, *LIMITS)
    assert data("check", "built", "--path", built) == 0
    shutil.rmtree(built / "captioned_motions")
    assert data("check", "built", "--path", built) == 2


def test_show_prints_counts_lengths_and_captions(raw, capsys):
    assert data("show", "humanml3d", "--path", raw, *LIMITS) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["train", "2", "4", "0.00", "9,", "10,", "12"]
    assert lines[lines.index("val c, 8 frames") + 1 :][:2] == ["  c walks", "  it goes"]


CONSOLES = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1:strict"},
    "a locale without Unicode": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@one_quick("console", list(CONSOLES.values()), ids=list(CONSOLES))
def test_a_console_without_a_captions_letters_ends_nothing(raw, tmp_path, console):
    (raw / "texts" / "a.txt").write_text("一个人向前走#t#0.0#0.0\n", encoding="utf-8")
    asked = ("data", "show", "humanml3d", "--path", str(raw), *LIMITS, "--out", str(tmp_path / "pictures"))
    done = subprocess.run(
        [sys.executable, "-m", "motiongpt3_jax", *asked],
        env={**os.environ, **console},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"train a, 12 frames\n  ??????\n" in done.stdout
    assert "一个人向前走" in (tmp_path / "pictures" / "clips.html").read_text(encoding="utf-8")


def test_an_interhuman_folder_is_checked_built_and_shown(tmp_path, capsys):
    raw, built = interhuman(tmp_path / "raw"), tmp_path / "built"
    assert data("check", "interhuman", "--path", raw) == 0
    assert data("build", "interhuman", "--path", raw, "--out", built) == 0
    assert "4 train, 1 val, 1 test" in capsys.readouterr().out
    assert data("check", "built", "--path", built) == 0
    assert data("show", "interhuman", "--path", raw, "--examples", 1) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["train", "4", "8"] in [line.split()[:3] for line in lines]
    assert data("show", "built", "--path", built, "--examples", 1, "--out", tmp_path / "pictures") == 0
    page = (tmp_path / "pictures" / "clips.html").read_text()
    assert page.count('"shape":[2,') == 3
    (raw / "annots" / "1.txt").unlink()
    assert data("check", "interhuman", "--path", raw) == 2


def test_pairs_are_built_from_a_seed(tmp_path):
    assert data("build", "procedural_pairs", "--clips", 2, "--seed", 7, "--out", tmp_path / "built") == 0
    split = open_records(tmp_path / "built").split("train")
    assert split.ids == ["procedural_pairs_7_000000", "procedural_pairs_7_000001"]
    assert [persons for persons, _ in split.extras] == [2, 2]


def test_show_draws_its_examples(raw, tmp_path):
    assert data("show", "humanml3d", "--path", raw, "--examples", 1, "--out", tmp_path / "pictures", *LIMITS) == 0
    drawn = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert drawn == ["clips.html", "test_d.png", "train_a.png", "val_c.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("build", "procedural"), "give a folder to build into with --out"),
        (("build", "humanml3d", "--out", "x"), "is read from a folder; give it with --path"),
        (("build", "built", "--path", "x", "--out", "y"), "built already; build procedural, procedural_pairs"),
        (("build", "procedural", "--on-bad", "skip"), "--on-bad does not concern the source 'procedural'"),
        (("show", "built", "--path", "nowhere"), "there is no folder 'nowhere'"),
        (("show", "procedural", "--clips", 1, "--examples", -1), "--examples -1: ask for 0 to 10,000"),
        (("show", "procedural", "--examples", 10**12), "--examples 1000000000000: ask for 0 to 10,000"),
        (("show", "procedural", "--clips", 99999999999999), "clips of source 'procedural': ask for 1 to 50,000 here"),
        (("build", "procedural", "--out", "x", "--clips", 10**12), "ask for 1 to 1,000,000 here"),
        (("build", "procedural", "--out", "x", "--clips", 0), "ask for 1 to 1,000,000 here"),
        (("show", "procedural", "--seed", -1), "seed -1 of source 'procedural': give one from 0 to"),
        (("build", "procedural", "--out", "x", "--seed", 10**30), "of source 'procedural': give one from 0 to"),
        (("show", "procedural", "--min-frames", 1, "--max-frames", 2), "clips of 1 to 2 frames of source 'procedural'"),
        (("show", "procedural", "--min-frames", 60, "--max-frames", 50), "expected 23 <= min_frames <= max_frames"),
        (("show", "procedural", "--max-frames", 10**9), "max_frames <= 10,000"),
        (("check", "procedural"), "nothing to check"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(capsys, arguments, message):
    assert data(*arguments) == 2
    assert message in capsys.readouterr().err


def test_checking_what_is_not_there_is_a_problem(tmp_path, capsys):
    assert data("check", "humanml3d", "--path", tmp_path / "nowhere") == 2
    assert "there is no folder" in capsys.readouterr().out


def test_help_ends_with_an_example(capsys):
    with pytest.raises(SystemExit):
        data("--help")
    assert "motiongpt3 data check humanml3d --path" in capsys.readouterr().out
