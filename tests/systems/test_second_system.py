"""A system from outside, step by step as CONTRIBUTING's "Adding a system" says, in every place where systems are used.

The steps: 1 register it, 2 its config, 3 its layout, 4 train it, 5 let it answer, 6 share it. The system is
`tests/systems/codes`: one stream of words and motion codes, with a SentencePiece tokenizer or none.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors import safe_open

import motiongpt3_jax
from motiongpt3_jax.batch import Sample
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.data_pipelines.packing import build
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.inference.folder import plain, read_folder
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.systems.interface import Answers, ModelSpec, System
from motiongpt3_jax.systems.kind import SystemKind
from motiongpt3_jax.systems.registry import find_system, system_names
from motiongpt3_jax.text import train_tokenizer
from motiongpt3_jax.training import restore_variables
from tests.systems.codes import kind as codes
from tests.systems.codes.alphabet import MARKS
from tests.systems.codes.config import FRAMES
from tests.systems.codes.installed import install
from tests.systems.codes.system import OBJECTIVES
from tests.trained import call

HERE = Path(__file__).resolve().parents[2]
CONFIG = str(HERE / "tests/systems/codes/config.py")
CHUNK = 4
SENTENCES = ["a person performs a jumping jack once", "a human sits down"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Step 1: a folder on `sys.path` with the entry points of a package that brings the systems."""
    folder = install(tmp_path_factory.mktemp("installed"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    find_system.cache_clear()


@pytest.fixture(scope="module")
def run(installed, tmp_path_factory):
    """A run of both stages."""
    folder = tmp_path_factory.mktemp("codes") / "run"
    motiongpt3_jax.train(CONFIG, folder)
    return folder


@pytest.fixture(scope="module")
def model(run):
    """The run's model."""
    return motiongpt3_jax.load(run)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """The run's model, to share."""
    out = tmp_path_factory.mktemp("codes") / "exported"
    motiongpt3_jax.export_model(run, out, "safetensors")
    return out


def test_step_1_an_entry_point_registers_it(installed):
    assert {"codescript", "bytescript"} <= {*system_names()}
    assert find_system("codescript") is codes.KIND


@pytest.mark.parametrize(
    ("system", "override", "words"),
    [
        ("codescript", "quantiser.chunk=0", "config.quantiser.chunk is 0; it must be a whole number from 1 to 64"),
        ("codescript", "model.decoder.heads=3", "config.model.decoder.width is 16; take a multiple of twice its heads"),
        ("codescript", "stages.speak.loss=language", "config.stages.speak.loss is 'language'; it must be one of"),
        ("codescript", "stages.fit.trainable=('encoder/.*',)", "config.stages.fit.trainable: pattern 'encoder/.*'"),
        ("codescript", "tokenizer=train:3", "a tokenizer of 3 ids was asked for"),
        ("codescript", "stages.speak.batch.length=3", "config.stages.speak.batch.length is 3; a motion alone takes 8"),
        ("bytescript", "quantiser.codes=0", "config.quantiser.codes is 0"),
    ],
)
def test_step_2_a_wrong_value_of_its_config_is_one_sentence_that_names_the_key(installed, system, override, words):
    with pytest.raises(UserError, match=re.escape(words)):
        check_config(plain(load_config(f"{CONFIG}:{system}", [override]).to_dict()))


@pytest.mark.parametrize("section", ["layout", "pretrained"])
def test_step_2_sections_of_other_systems_are_unknown(installed, section):
    config = plain(load_config(CONFIG).to_dict())
    with pytest.raises(UserError, match=f"config has the unknown key '{section}'"):
        check_config({**config, section: {}})


def test_step_2_without_a_tokenizer_its_config_names_none(installed):
    config = plain(load_config(f"{CONFIG}:bytescript").to_dict())
    with pytest.raises(UserError, match="config has the unknown key 'tokenizer'"):
        check_config({**config, "tokenizer": "train:300"})


def test_step_3_the_layout_packs_samples_into_one_stream():
    config = plain(load_config(CONFIG).to_dict())
    stage, tokenizer = config["stages"]["speak"], train_tokenizer(SENTENCES, 300, codes.SPEC)
    layout = codes.KIND.layout(stage, ModelSpec(config, 2, tokenizer))
    samples = [Sample(n, 7, SENTENCES[n], name) for n, name in enumerate(("perform_plain", "narrate_plain"))]
    examples = layout(samples)
    shape = codes.KIND.row_shape(stage)
    batch = build([examples], lambda number, person: np.ones((7, 2)), shape, layout.schema, 2)
    slots = batch.streams["tokens"]
    # Two codes of each sample: those of clips 0 and 1 of the row.
    assert slots.sources[slots.sources[..., 0] >= 0].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert batch.streams.keys() == {"tokens"}
    assert not batch.extra
    for segment in (1, 2):
        weights, ids = (x[slots.segments == segment] for x in (slots.weights, slots.ids))
        turn = ids.tolist().index(tokenizer.id_of("<next_turn>"))
        assert not weights[:turn].any()
        assert weights[turn:-1].all()
        assert not weights[-1]


def test_step_4_every_stage_trains_and_the_next_goes_on_from_there(run):
    stages = [json.loads(line)["stage"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [*dict.fromkeys(stages)] == ["fit", "speak"]
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["speak_0000004.html"]
    first, second = (flatten_dict(restore_variables(run, stage)[2].params, sep="/") for stage in ("fit", "speak"))
    assert not any(np.array_equal(first[name], second[name]) for name in second)


@pytest.mark.slow
def test_step_4_a_run_that_was_stopped_ends_with_the_same_bits(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "speak" / "4")
    motiongpt3_jax.train(CONFIG, tmp_path / "run")
    again, before = (read_variables(read_folder(folder)) for folder in (tmp_path / "run", run))
    assert again[:2] == before[:2] == ("speak", 4)
    assert jax.tree.all(jax.tree.map(np.array_equal, again[2], before[2]))


def test_step_4_a_run_keeps_the_sections_that_it_began_with(run):
    with pytest.raises(UserError, match=r"was begun with quantiser.codes=12, and is now asked for 13"):
        motiongpt3_jax.train(CONFIG, run, ("quantiser.codes=13",))


@pytest.mark.filterwarnings("ignore::motiongpt3_jax.Note")
def test_step_5_motions_end_themselves_and_do_not_depend_on_their_batch(model):
    motions = model.generate([*SENTENCES, ""], seed=5)
    assert len({motion.frames for motion in motions}) > 1
    for motion in motions:
        assert motion.frames % CHUNK == 0
        assert 0 < motion.frames <= model.engine.frames[1]
        assert np.isfinite(motion.joints).all()
    alone = model.generate(SENTENCES[1], seed=6)
    assert alone.frames == motions[1].frames
    np.testing.assert_allclose(alone.joints, motions[1].joints, atol=1e-4)
    assert {length.source for length in model.lengths(SENTENCES)} == {"model"}


def test_step_5_a_length_cannot_be_asked_for(model):
    for length in ({"seconds": 2.0}, {"frames": 40}, {"frames": [40, 40]}):
        with pytest.raises(UserError, match="this model ends its motions itself: leave the length out"):
            model.generate(SENTENCES, **length)
    with pytest.raises(UserError, match="no task of the kind 'predict'; its tasks are: perform, narrate"):
        model.predict(_motion(model), seconds=4)
    with pytest.raises(UserError, match="there is no option 'sampler'; there are: temperature, top_k, top_p"):
        model.generate(SENTENCES, sampler="ddim")
    with pytest.raises(UserError, match="does not chat"):
        motiongpt3_jax.Chat(model)


def _motion(model):
    return motiongpt3_jax.Motion(np.zeros((1, 20, 22, 3), np.float32), model.fps)


@pytest.mark.filterwarnings("ignore::motiongpt3_jax.Note")
def test_step_5_programs_are_compiled_ahead_whatever_the_lengths(model):
    assert model.warm_up() > 0


def test_step_6_an_exported_model_has_its_paths_and_answers_alike(model, exported):
    with safe_open(exported / "model.safetensors", framework="numpy") as file:
        names, metadata = {*file.keys()}, file.metadata()
    assert metadata["format_version"] == "2"
    assert metadata["system"] == "codescript"
    assert {"decoder/layers/tokens/q/kernel", "vocabulary/tokens/new", "state/codebook"} <= names
    card = (exported / "README.md").read_text()
    assert "A CodeScript of 12 codes that turns" in card
    assert "pytorch" not in card
    assert str(HERE) not in (exported / "config.json").read_text()
    questions = json.loads((exported / "config.json").read_text())["questions"]
    assert questions == {"perform": "perform <Caption_Placeholder>", "narrate": "narrate <Motion_Placeholder>"}
    second = motiongpt3_jax.load(exported)
    assert np.array_equal(model.generate(SENTENCES[0]).joints, second.generate(SENTENCES[0]).joints)
    clip = np.random.default_rng(0).normal(size=(FRAMES, 263))
    assert model.caption_features([clip]) == second.caption_features([clip])


def test_step_6_other_formats_and_checkpoints_of_other_code_are_refused(run, tmp_path):
    with pytest.raises(UserError, match="--format pytorch: there is none for a CodeScript; there are: safetensors"):
        motiongpt3_jax.export_model(run, tmp_path / "out", "pytorch")
    (tmp_path / "weights.ckpt").touch()
    with pytest.raises(UserError, match="no checkpoints of other code are read as a CodeScript"):
        motiongpt3_jax.import_model(tmp_path / "weights.ckpt", tmp_path / "out", CONFIG)


@pytest.mark.filterwarnings("ignore::motiongpt3_jax.Note")
def test_step_6_a_run_starts_from_an_exported_model(run, exported, tmp_path):
    start = (f"start={exported}", "run=('speak',)", "stages.speak.sample_every=0", f"data.path={run / 'data'}")
    with pytest.raises(UserError, match=r"it has other sizes than the config; add --config.model.decoder.width=16"):
        motiongpt3_jax.train(CONFIG, tmp_path / "wider", (*start, "model.decoder.width=32"))
    again = motiongpt3_jax.train(CONFIG, tmp_path / "run", (*start, "stages.speak.optimizer.learning_rate=0.0"))
    folders = (again.folder, read_folder(exported))
    assert len({folder.tokenizer.backend.to_str() for folder in folders}) == 1
    first, second = (read_variables(folder)[2] for folder in folders)
    assert jax.tree.all(jax.tree.map(np.array_equal, first, second))


def test_every_command_works_with_it(run, installed, tmp_path):
    status, out, error = call("train", "--config", CONFIG, "--workdir", run)
    assert status == 0, error
    assert "speak is finished, at step 4 of 4" in out
    status, _, error = call("export", "--model", run, "--format", "safetensors", "--out", tmp_path / "exported")
    assert status == 0, error
    status, _, error = call("import", "--from", tmp_path / "exported", "--out", tmp_path / "imported")
    assert status == 0, error
    model = ("--model", tmp_path / "imported")
    status, out, error = call("generate", *model, "--text", SENTENCES[1], "--out", tmp_path / "out", "--format", "none")
    assert status == 0, error
    assert "length:" not in error
    (said,) = json.loads((tmp_path / "out" / "manifest.json").read_text())["motions"]
    assert said["length"] == "as the model ended it"
    assert said["frames"] % CHUNK == 0
    drawn = ("--text", SENTENCES[1], "--out", tmp_path / "drawn", "--format", "none", "--sampling")
    status, _, error = call("generate", *model, *drawn, "temperature=2.0", "top_k=3")
    assert status == 0, error
    manifest = json.loads((tmp_path / "drawn" / "manifest.json").read_text())
    assert [manifest[name] for name in ("temperature", "top_k", "top_p")] == [2.0, 3, 1.0]
    status, _, error = call("generate", *model, *drawn, "speed=2")
    assert (status, "there is no option 'speed'; there are: temperature, top_k, top_p" in error) == (2, True)
    status, _, error = call("generate", *model, *drawn[:4], "--style", "official_eval")
    assert (status, "--style official_eval: this model has the styles train" in error) == (2, True)
    status, out, error = call("caption", *model, "--motion", tmp_path / "out" / "motion_000.npy")
    assert status == 0, error
    assert out.endswith("\n")
    for length in ("--seconds", "--frames"):
        status, _, error = call("generate", *model, "--text", SENTENCES[1], "--out", tmp_path / "out", length, "2")
        assert status == 2
        assert error.splitlines()[-1] == (
            f"motiongpt3 generate: {length} 2 was asked for, and this model ends its motions itself: leave the length "
            "out"
        )
    status, _, error = call("bench", "vae", "--config", CONFIG)
    assert status == 2
    assert "has: fit, speak" in error


@pytest.mark.slow
def test_a_fresh_process_finds_it_by_its_entry_point(exported, installed, tmp_path):
    command = [sys.executable, "-m", "motiongpt3_jax", "generate", "--model", str(exported), "--text", SENTENCES[0]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (HERE, installed)))}
    out = tmp_path / "out"
    done = subprocess.run(
        [*command, "--out", str(out), "--format", "none"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert np.isfinite(np.load(out / "motion_000.npy")).all()


def test_a_folder_of_a_system_that_is_not_installed_is_one_sentence(exported, installed, monkeypatch):
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(installed)])
    find_system.cache_clear()
    with pytest.raises(UserError, match="describes a model of the system 'codescript', which is not installed; there"):
        motiongpt3_jax.load(exported)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::motiongpt3_jax.Note")
def test_a_system_without_a_tokenizer_trains_and_answers(installed, run, tmp_path):
    fewer = ("run=('speak',)", "stages.speak.steps=1", "stages.speak.sample_every=0", f"data.path={run / 'data'}")
    motiongpt3_jax.train(f"{CONFIG}:bytescript", tmp_path / "run", fewer)
    assert not (tmp_path / "run" / "tokenizer").exists()
    out = motiongpt3_jax.export_model(tmp_path / "run", tmp_path / "exported", "safetensors").files[0].parent
    model = motiongpt3_jax.load(out)
    assert np.isfinite(model.generate(SENTENCES[0]).joints).all()
    assert isinstance(model.caption_features([np.zeros((FRAMES, 263))])[0], str)


def test_the_steps_of_contributing_name_every_member_of_the_contract():
    section = (HERE / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Adding a system\n")[1].split("\n## ")[0]
    steps = re.findall(r"^(\d)\. \*\*", section, re.MULTILINE)
    assert steps == [*"123456"]
    assert {*re.findall(r"def test_step_(\d)", Path(__file__).read_text(encoding="utf-8"))} == {*steps}
    for part in (SystemKind, System, Answers):
        members = {*part.__annotations__, *(name for name in vars(part) if not name.startswith("_"))}
        for member in sorted(members):
            assert f"`{member}`" in section, f"{part.__name__}.{member}"


def test_it_shares_no_name_with_the_built_in_system():
    built_in, config = find_system("motiongpt3"), load_config("motiongpt3:base")
    theirs = {*built_in.tasks, *built_in.tokens(config).added, *config.stages, "text", "motion"}
    theirs |= {stage.loss for stage in config.stages.values()}
    ours = {*codes.TASKS, *MARKS, *load_config(CONFIG).stages, "tokens", *OBJECTIVES}
    assert not ours & theirs


def test_no_product_file_names_it():
    names = "|".join(["codescript", "bytescript", r"systems[./]codes", *map(re.escape, MARKS)])
    for folder in ("motiongpt3_jax", "configs", "data_pipelines"):
        for file in (HERE / folder).rglob("*.*"):
            if file.suffix in (".py", ".json"):
                assert not re.search(names, file.read_text(encoding="utf-8"), re.IGNORECASE), file
