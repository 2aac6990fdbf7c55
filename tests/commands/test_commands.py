"""The commands as a user calls them, on a run of the smallest config."""

import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from motiongpt3_jax.__main__ import COMMANDS, main
from motiongpt3_jax.data_pipelines.procedural import generate
from motiongpt3_jax.inference.engine import Engine
from motiongpt3_jax.motion import Motion, save_motion
from tests.commands.conftest import call
from tests.motion.samples import dance
from tests.trained import FEWER_PROGRAMS, train

TWO_FILES = ("inbetween", "--model", "RUN", "--motion", "x.npy", "--to", "y.npy", "--out", "x")


def test_help_lists_every_command_and_each_command_shows_an_example(capsys):
    status, out, _ = call("--help")
    assert status == 0
    for name in COMMANDS:
        assert f"  {name}" in out
        with pytest.raises(SystemExit, match="0"):
            main([name, "--help"])
        assert f"  motiongpt3 {name}" in capsys.readouterr().out.split("\nexample:\n")[1]


def test_an_unknown_command_is_an_error():
    status, _, error = call("fly")
    assert status == 2
    assert "there is no command 'fly'" in error


def test_generate_writes_joints_pictures_a_page_and_a_manifest(trained, tmp_path):
    sentences = tmp_path / "prompts.txt"
    sentences.write_text("a person jumps\n\n", encoding="utf-8")
    asked = ("--text", "a man walks", "--file", sentences, "--samples", "2", "--frames", "24", "--steps", "2")
    status, out, error = call("generate", "--model", trained, *asked, "--seed", "5", "--out", tmp_path / "made")
    assert status == 0, error
    assert "4 motions" in out
    manifest = json.loads((tmp_path / "made" / "manifest.json").read_text())
    assert [m["text"] for m in manifest["motions"]] == ["a man walks"] * 2 + ["a person jumps"] * 2
    assert [m["seed"] for m in manifest["motions"]] == [5, 6, 7, 8]
    for motion in manifest["motions"]:
        joints = np.load(tmp_path / "made" / motion["joints"], allow_pickle=False)
        assert joints.shape == (24, 22, 3)
        assert np.isfinite(joints).all()
        assert (tmp_path / "made" / motion["picture"]).read_bytes()[:3] == b"GIF"
    assert "a person jumps" in (tmp_path / "made" / "index.html").read_text(encoding="utf-8")


def test_a_motion_depends_on_its_own_seed_and_not_on_batch_mates(trained, tmp_path):
    fast = ("--frames", "24", "--steps", "2", "--format", "none")
    call("generate", "--model", trained, "--text", "a man walks", "--seed", "3", *fast, "--out", tmp_path / "alone")
    several = ("--text", "a woman jumps", "a man walks", "--seed", "2")
    call("generate", "--model", trained, *several, *fast, "--out", tmp_path / "several")
    alone = np.load(tmp_path / "alone" / "motion_000.npy")
    beside = np.load(tmp_path / "several" / "motion_001.npy")
    np.testing.assert_allclose(alone, beside, atol=1e-4)


def test_caption_reads_joints_and_prints_a_line_each(trained, tmp_path):
    rng = np.random.default_rng(0)
    pose = _pose()
    paths = []
    for number, frames in enumerate((30, 41)):
        paths.append(tmp_path / f"walk{number}.npy")
        people = pose[None] + 0.002 * rng.normal(size=(1 + number, frames, 22, 3))
        np.save(paths[-1], people.astype(np.float32))
    status, out, error = call("caption", "--model", trained, "--motion", *paths, "--json", tmp_path / "said.json")
    assert status == 0, error
    assert len(out.strip().splitlines()) == 2
    assert error.count("the first is read") == error.count("walk1.npy: of 2 persons") == 1
    assert set(json.loads((tmp_path / "said.json").read_text())) == {str(path) for path in paths}


def test_caption_says_what_becomes_of_two_frames_and_leaves_out_frames_on_request(trained, tmp_path):
    joints = np.repeat(_pose()[None, None], 30, axis=1)
    joints[:, 0] += [30, 0, 0]
    save_motion(tmp_path / "two.npz", Motion(joints[:, 1:3], 30.0))
    save_motion(tmp_path / "far.npz", Motion(joints, 20.0))
    status, out, error = call("caption", "--model", trained, "--motion", tmp_path / "far.npz", tmp_path / "two.npz")
    assert status == 2
    assert "two.npz" not in out
    assert "two.npz' has 2 frames at 30 a second, which is 1 at the model's 20" in error
    assert "far.npz: from frame 0 to 1 the body moves 30 m" in error
    status, _, error = call("caption", "--model", trained, "--motion", tmp_path / "far.npz", "--start", 1)
    assert (status, "the body moves" in error) == (0, False)


def _pose():
    return generate(0).joints[0]


def test_convert_writes_every_kind_of_file(tmp_path):
    np.save(tmp_path / "stand.npy", np.repeat(_pose()[None], 12, axis=0).astype(np.float32))
    for kind in ("npz", "gif", "mp4", "png", "html"):
        status, out, error = call("convert", "--motion", tmp_path / "stand.npy", "--to", kind)
        assert status == 0, error
        assert (tmp_path / f"stand.{kind}").stat().st_size > 100
        assert out.strip().endswith(f"stand.{kind}")


def test_convert_mirrors_left_and_right(tmp_path):
    pose = _pose().astype(np.float32)
    np.save(tmp_path / "stand.npy", np.repeat(pose[None], 3, axis=0))
    status, _, error = call(
        "convert", "--motion", tmp_path / "stand.npy", "--to", "npy", "--mirror", "--out", tmp_path / "m"
    )
    assert status == 0, error
    mirrored = np.load(tmp_path / "m" / "stand.npy")
    np.testing.assert_allclose(mirrored[0, 16], pose[17] * [-1, 1, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("generate", "--model", "nowhere", "--text", "a", "--out", "x"), "no model at 'nowhere'"),
        (("caption", "--model", "RUN", "--motion", "nothing.npy"), "'nothing.npy' does not exist"),
        (("generate", "--model", "RUN", "--out", "x"), "no sentence was given"),
        (("generate", "--model", "RUN", "--file", "none.txt", "--out", "x"), "there is no such file"),
        (("generate", "--model", "RUN", "--text", "a", "--frames", "3", "--out", "x"), "--frames 3 is out of range"),
        (
            ("generate", "--model", "RUN", "--text", "a", "--seconds", "61", "--out", "x"),
            "--seconds 61 is out of range",
        ),
        (
            ("generate", "--model", "RUN", "--text", "a", "--steps", "0", "--out", "x"),
            "--steps 0: give a number from 1 to",
        ),
        (("predict", "--model", "RUN", "--motion", "x.npy", "--share", "2", "--out", "x"), "give a part of the file"),
        (TWO_FILES, "give one --motion, and"),
        (("inbetween", "--model", "RUN", "--motion", "x.npy", "--move-end", "--out", "x"), "brings the file of --to"),
        (
            (
                "predict",
                "--model",
                "RUN",
                "--motion",
                "x.npy",
                "--protocol",
                "official",
                "--seconds",
                "3",
                "--out",
                "x",
            ),
            "the official protocol has its own parts and lengths; leave --seconds out",
        ),
        (("generate", "--model", "RUN", "--text", "a", "--out", ""), "--out is empty; give a folder"),
        (("generate", "--model", "RUN", "--text", "a", "--out", "FILE"), "a file stands there; give a folder"),
        (("generate", "--model", "RUN", "--text", "a", "--out", "FILE/x"), "config.json is a file; give a folder"),
        (("caption", "--model", "RUN", "--motion", "x.npy", "--json", "RUN"), "a folder stands there; give a file"),
        (("caption", "--model", "RUN", "--motion", "RUN"), "is a folder; give the path of a"),
        (("caption", "--model", "RUN", "--motion", "x.npy", "--top-k", "5"), "top_k of a text is 5: tokens are drawn"),
        (
            ("generate", "--model", "RUN", "--text", "a", "--eta", "1", "--out", "x"),
            "eta of a motion is 1.0: only ddim",
        ),
        (
            (*TWO_FILES, "--seconds", "1", "--share", "0.1"),
            "--share is a part of one file; with --to both files are given whole",
        ),
        (
            ("chat", "--model", "RUN", "Walk.", "--seconds", "100", "--out", "x"),
            "in a conversation a motion has 0.5",
        ),
        (("demo", "--count", "0"), "--count 0: measure on at least one clip"),
        (("chat", "--model", "RUN", "what is <motion:none.npy>?"), "'none.npy' does not exist"),
        (("chat", "--model", "RUN", "what is <motion:last>?"), "no motion in this conversation"),
        (("import", "--from", "a", "--base", "b", "--tokenizer", "c", "--out", "d"), "--tokenizer does not go with"),
        (("bench", "samplers"), "give --model"),
        (("train", "--config", "motiongpt3:none", "--workdir", "x"), "no config motiongpt3:none"),
        (("train", "--config", "motiongpt3:test", "--workdir", "x", "--speed"), "unknown argument '--speed'"),
        (("train", "--config", "motiongpt3:test", "--workdir", "RUN", "--config.seed=9"), "was begun with seed=0"),
        (
            ("train", "--distributed", "x", "--config", "motiongpt3:test", "--workdir", "x"),
            "give nothing, or HOST:PORT",
        ),
        (
            ("generate", "--model", "RUN", "--text", "a", "--sampler", "euler", "--out", "x"),
            "sampler 'euler' does not fit this model",
        ),
        (("bench", "train", "--config", "motiongpt3:test", "--stage", "none"), "the config runs vae"),
        (("bench", "train", "--config", "motiongpt3:test", "--repeats", "0"), "ask for at least 1"),
        (("bench", "generate", "--config", "motiongpt3:test", "--file", "none.txt"), "there is no such file"),
        (("bench", "data", "--config", "motiongpt3:test", "--stage", "none"), "the config has align_bare, "),
        (("bench", "data", "--config", "motiongpt3:test", "--readers", "3"), "do not divide by it"),
        (("bench", "data"), "give --config"),
        (("bench", "train", "--config", "motionllm:test", "--stage", "none"), "the config runs tokenizer, pretrain, "),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_with_status_2(asked, said, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {"RUN": trained, "FILE": trained / "config.json"}
    for name, place in places.items():
        asked = [argument.replace(name, str(place)) if argument.startswith(name) else argument for argument in asked]
    status, _, error = call(*asked)
    assert status == 2
    assert said in error
    assert len(error.strip().splitlines()) == 1


def test_training_leaves_samples_metrics_and_checkpoints(trained):
    assert {path.name for path in (trained / "samples").iterdir()} == {
        "vae_0000002.html",
        "align_bare_0000002.html",
    }
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in lines} == {"vae", "text", "align_bare"}
    assert all(np.isfinite(line["loss"]) for line in lines if line["kind"] != "time")
    assert [line["stage"] for line in lines if line["kind"] == "time"] == ["vae", "text", "align_bare"]
    assert (trained / "checkpoints" / "align_bare" / "2").is_dir()


def test_a_finished_run_is_not_trained_again(trained):
    before = sorted((trained / "checkpoints").rglob("*"))
    status, out, _ = train("motiongpt3:test", trained, FEWER_PROGRAMS)
    assert status == 0
    assert "loss" not in out
    assert sorted((trained / "checkpoints").rglob("*")) == before


@pytest.mark.slow
def test_a_run_continues_with_more_steps_of_its_last_stage(trained, tmp_path):
    folder = tmp_path / "longer"
    shutil.copytree(trained, folder)
    status, out, error = train("motiongpt3:test", folder, (*FEWER_PROGRAMS, "stages.align_bare.steps=3"))
    assert status == 0, error
    assert "align_bare continues at step 2 of 3" in out


def test_a_model_reads_and_writes_without_its_data(trained, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("data"))
    fast = ("--frames", "24", "--steps", "2", "--format", "none")
    status, _, error = call("generate", "--model", folder, "--text", "a man walks", *fast, "--out", tmp_path / "made")
    assert status == 0, error


def test_a_run_is_exported_as_its_last_stage_left_it(trained, tmp_path):
    status, _, error = call("export", "--model", trained, "--format", "safetensors", "--out", tmp_path / "model")
    assert status == 0, error
    run, exported = Engine.load(trained), Engine.load(tmp_path / "model")
    assert run.trained == exported.trained
    jax.tree.map(np.testing.assert_array_equal, run.variables, exported.variables)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["train", "generate", "caption"])
def test_bench_prints_and_writes_medians(what, tmp_path):
    small = ("--requests", "2", "--frames", "60", "--tokens", "3", "--steps", "2", "--repeats", "2")
    path, sentences = tmp_path / "numbers.json", tmp_path / "sentences.txt"
    sentences.write_text("a person walks\n")
    texts = ("--file", sentences) if what == "generate" else ()
    status, out, error = call("bench", what, "--config", "motiongpt3:test", *small, *texts, "--json", path)
    assert status == 0, error
    (measured,) = json.loads(path.read_text())
    assert measured["median_seconds"] > 0
    assert measured["samples_per_second"] > 0
    assert measured["tokens_per_second"] > 0
    assert all(0 < share <= 1 for share in measured["shares"].values())
    assert "samples/s" in out
    phases = {"train": [], "generate": ["condition", "sample", "decode"], "caption": ["understand", "write"]}[what]
    assert list(measured["phases"]) == list(measured["phase_mfu"]) == phases
    assert all(share > 0 for share in measured["phase_mfu"].values())


def test_bench_data_measures_each_number_of_readers(tmp_path):
    sentences = tmp_path / "sentences.jsonl"
    sentences.write_text('{"captions": ["a man walks.", "he goes"]}\n')
    path = tmp_path / "data.json"
    small = ("--stage", "generate", "--clips", 60, "--readers", 1, 2, "--sentences", sentences, "--json", path)
    status, out, error = call("bench", "data", "--config", "motiongpt3:test", *small)
    assert (status, error) == (0, "")
    one, two = json.loads(path.read_text())
    assert [one["readers"], two["readers"]] == [1, 2]
    assert one["samples"] == two["samples"] == 60
    assert 0 < one["useful"] <= 1
    assert min(one["planning_seconds"], one["resume_seconds"], one["building"], one["samples_per_second"]) > 0
    assert out.count("samples a second of CPU time") == 2


def test_bench_data_reads_a_stage_whose_clips_are_encoded_before_it(tmp_path):
    options = ("--config", "motiongpt:test", "--config.data.codes=cached", "--stage", "pretrain", "--clips", 40)
    status, _, error = call("bench", "data", *options, "--json", tmp_path / "data.json")
    assert (status, error) == (0, "")
    assert json.loads((tmp_path / "data.json").read_text())[0]["building"] > 0


@pytest.mark.slow
def test_bench_vae_measures_a_training_step_and_both_ways_beside_products_of_matrices(tmp_path):
    small = ("--requests", "2", "--frames", "60", "--repeats", "1", "--json", tmp_path / "numbers.json")
    status, out, error = call("bench", "vae", "--config", "motiongpt3:test", *small)
    assert status == 0, error
    measured = {each["what"]: each for each in json.loads((tmp_path / "numbers.json").read_text())}
    assert list(measured) == ["vae train", "vae encode", "vae decode"]
    for each in measured.values():
        assert each["samples_per_second"] == pytest.approx(2 / each["median_seconds"])
        assert each["products"] > 0
    assert out.count("products of 4096 x 4096") == 3


def test_predict_keeps_what_is_given_and_sees_nothing_else(trained, tmp_path):
    walk = dance(frames=50).astype(np.float32)
    other = np.concatenate([walk[:15], walk[14:49] + 5])
    fast = ("--steps", "2", "--format", "none", "--share", "0.3")
    for name, joints in (("walk", walk), ("other", other)):
        np.save(tmp_path / f"{name}.npy", joints)
        asked = ("--motion", tmp_path / f"{name}.npy", *fast, "--out", tmp_path / name)
        status, _, error = call("predict", "--model", trained, *asked)
        assert status == 0, error
    assert "no stage of this model trained it on the task 'predict'" in error
    made = [np.load(tmp_path / name / "motion_000.npy") for name in ("walk", "other")]
    np.testing.assert_array_equal(made[0][:15], walk[:15])
    np.testing.assert_array_equal(made[0], made[1])
    assert len(made[0]) == 50


def test_inbetween_joins_the_ends_of_a_file_or_two_files_and_says_how_far_it_bent(trained, tmp_path):
    walk = dance(frames=60).astype(np.float32)
    np.save(tmp_path / "walk.npy", walk)
    np.save(tmp_path / "end.npy", walk[:20] + 1)
    common = ("--model", trained, "--motion", tmp_path / "walk.npy", "--steps", "2", "--format", "none")
    status, out, error = call("inbetween", *common, "--out", tmp_path / "one")
    assert status == 0, error
    assert "carried" in out
    made = np.load(tmp_path / "one" / "motion_000.npy")
    np.testing.assert_array_equal(made[:15], walk[:15])
    np.testing.assert_array_equal(made[45:], walk[45:])
    asked = ("--to", tmp_path / "end.npy", "--seconds", "1.5", "--out", tmp_path / "two")
    status, _, error = call("inbetween", *common, *asked)
    assert status == 0, error
    made = np.load(tmp_path / "two" / "motion_000.npy")
    assert len(made) == 60 + 30 + 20
    np.testing.assert_array_equal(made[90:], walk[:20] + 1)
    status, out, error = call("inbetween", *common, *asked, "--move-end")
    assert status == 0, error
    assert "carried" not in out
    moved = np.load(tmp_path / "two" / "motion_000.npy")
    np.testing.assert_array_equal(moved[:60], walk)
    ends = [x[90:] - x[90:, :1] for x in (made, moved)]
    np.testing.assert_allclose(*(np.linalg.norm(x, axis=-1) for x in ends), atol=1e-5)
    assert np.linalg.norm(moved[90, 0] - moved[89, 0]) < 0.1
    assert np.linalg.norm(moved[90, 0, ::2] - made[90, 0, ::2]) > 0.1


def test_a_file_longer_than_results_may_be_is_named(trained, tmp_path):
    np.save(tmp_path / "long.npy", dance(frames=1300).astype(np.float32))
    for command in ("predict", "inbetween"):
        asked = ("--model", trained, "--motion", tmp_path / "long.npy", "--out", tmp_path / "x")
        status, _, error = call(command, *asked)
        assert status == 2
        assert "long.npy lasts 65 s, and results last 60 s at most: ask for a length with --seconds" in error


def test_sentences_of_a_file_are_its_lines(trained, tmp_path):
    (tmp_path / "asked.txt").write_bytes("\ufeffa man walks\r\n\na man\u2028jumps up\n".encode())
    fast = ("--frames", "24", "--steps", "2", "--format", "none", "--clean-feet")
    status, _, error = call(
        "generate", "--model", trained, "--file", tmp_path / "asked.txt", *fast, "--out", tmp_path / "made"
    )
    assert status == 0, error
    manifest = json.loads((tmp_path / "made" / "manifest.json").read_text())
    assert [m["text"] for m in manifest["motions"]] == ["a man walks", "a man\u2028jumps up"]
    assert error.count("feet on the floor slid") == 2


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "two"])
def test_a_length_that_is_none_is_refused(seconds, capsys):
    with pytest.raises(SystemExit):
        call("generate", "--model", "x", "--text", "a", "--seconds", seconds, "--out", "x")


def test_output_that_nobody_reads_ends_without_a_word():
    command = [sys.executable, "-m", "motiongpt3_jax", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_an_interrupt_ends_a_command_in_a_line(monkeypatch):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("motiongpt3_jax.commands.convert.run", interrupted)
    status, _, error = call("convert", "--motion", "x.npy", "--to", "png")
    assert (status, error) == (130, "motiongpt3 convert: interrupted\n")


def test_a_wrong_turn_is_said_and_the_next_one_answered(trained, tmp_path):
    people = dance(frames=30, people=(2,)).astype(np.float32)
    np.save(tmp_path / "two.npy", people)
    asked = ("What is <motion:none.npy>?", f"What is <motion:{tmp_path / 'two.npy'}>?", "--max-tokens", "4")
    status, out, error = call(
        "chat", "--model", trained, *asked, "--steps", "2", "--format", "none", "--out", tmp_path / "chat"
    )
    assert status == 2
    assert "'none.npy' does not exist" in error
    assert "two.npy: of 2 persons the first is read" in error
    assert len(out.strip().splitlines()) == 1


def test_chat_answers_turn_by_turn(trained, tmp_path):
    np.save(tmp_path / "walk.npy", dance(frames=40).astype(np.float32))
    asked = ("Walk.", f"What is <motion:{tmp_path / 'walk.npy'}>?", "--max-tokens", "4", "--steps", "2")
    status, out, error = call("chat", "--model", trained, *asked, "--format", "none", "--out", tmp_path / "chat")
    assert status == 0, error
    assert len(out.strip().splitlines()) == 2
