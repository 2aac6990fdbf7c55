"""Two people, from a run of one person: training, answers in Python and in the shell."""

import json
import warnings

import numpy as np
import pytest
from filelock import FileLock
from flax.traverse_util import flatten_dict

import motiongpt3_jax
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.data_pipelines import procedural_pairs
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.inference.folder import plain, read_folder
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.motion import load_motion, save_motion
from motiongpt3_jax.systems.motionllm.exporter import export_pytorch
from tests.commands.conftest import call
from tests.motion.samples import dance
from tests.systems.same_joints import check_same_joints

pytestmark = pytest.mark.filterwarnings("ignore::motiongpt3_jax.Note")

SENTENCE = "the first person pushes the second person with both hands"


ALONE = ("run=('pair',)", f"stages.pair.trainable={('.*/lora/inter/.*', 'vocabulary/later')}")
"""As the published sizes are trained: the tokenizer of motion and the rows of its codes stay."""


@pytest.fixture(scope="module")
def pair_run(trained_motionllm):
    """Folder of a run of `motionllm:test:pair` that starts from that of one person."""
    folder = trained_motionllm.parent / "motionllm_pair"
    done = folder.with_suffix(".done")
    with FileLock(f"{done}.lock"):
        if not done.exists():
            motiongpt3_jax.train("motionllm:test:pair", folder, (f"start={trained_motionllm}", *ALONE))
            done.touch()
    return folder


@pytest.fixture(scope="module")
def model(pair_run):
    return Model.load(pair_run)


@pytest.fixture(scope="module")
def clips():
    return [*procedural_pairs.clips("test", 2, options=procedural_pairs.Options(max_frames=96))]


def test_what_one_person_was_learned_with_stays_to_the_bit(trained_motionllm, pair_run):
    before, after = (
        flatten_dict(read_variables(read_folder(path))[2].params, sep="/") for path in (trained_motionllm, pair_run)
    )
    for path, array in before.items():
        np.testing.assert_array_equal(array, after[path], err_msg=path)
    new = {path for path in after if path not in before}
    assert "vocabulary/later" in new
    assert new - {"vocabulary/later"} == {path for path in after if "/lora/inter/" in path}
    assert after["vocabulary/later"].shape[0] == 324


def test_two_people_come_from_a_sentence_as_long_as_asked_for(model):
    motions = model.generate([SENTENCE, "two people bow"], frames=[41, 38], seed=1)
    assert [motion.joints.shape[:2] for motion in motions] == [(2, 41), (2, 38)]
    alone = model.generate("two people bow", frames=38, seed=2)
    check_same_joints(alone.joints, motions[1].joints)
    np.testing.assert_allclose(motions[0].joints[0, 0, 0, [0, 2]], 0, atol=1e-5)
    # What it was trained on before it began stays known.
    with warnings.catch_warnings():
        warnings.simplefilter("error", motiongpt3_jax.Note)
        assert model.generate("a person walks", frames=41, persons=1).persons == 1


def test_a_reaction_leaves_the_given_person_as_it_is(model):
    given = motiongpt3_jax.Motion(dance(frames=57, people=(1,)) * 1.2 + [3.0, 0.5, 1.0], 30.0)
    both = model.react(given, SENTENCE, seed=1)
    assert (both.persons, both.frames, both.fps) == (2, 57, 30.0)
    np.testing.assert_array_equal(both.joints[0], given.joints[0])
    assert np.isfinite(both.joints).all()


@pytest.mark.slow
def test_captions_are_of_both_where_the_motion_has_two(model, clips):
    captions = model.caption_pairs(clips, max_new=4)
    assert captions[0] == model.caption_pairs(clips[:1], max_new=4)[0]


def test_the_published_code_knows_one_person(pair_run, model, tmp_path):
    with pytest.raises(UserError, match="export the model of one person that it started from"):
        export_pytorch(tmp_path / "motionllm.pth", read_folder(pair_run).spec, model.engine.variables)
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_in_the_shell(pair_run, tmp_path):
    out, quick = tmp_path / "pairs", ("--format", "none", "--out", tmp_path / "pairs")
    asked = ("--text", SENTENCE, "--seconds", "2", "--also", "bvh")
    status, _, error = call("generate", "--model", pair_run, *asked, *quick)
    assert status == 0, error
    made = load_motion(out / "motion_000.npy")
    assert made.joints.shape[:2] == (2, 40)
    assert len(json.loads((out / "manifest.json").read_text())["motions"][0]["bvh"]) == 2
    save_motion(tmp_path / "one.npy", motiongpt3_jax.Motion(made.joints[:1], made.fps))
    status, _, error = call("generate", "--model", pair_run, "--react-to", tmp_path / "one.npy", *quick)
    assert status == 0, error
    both = load_motion(out / "motion_000.npy")
    assert both.persons == 2
    np.testing.assert_array_equal(both.joints[0], made.joints[0])
    status, _, error = call("caption", "--model", pair_run, "--motion", out / "motion_000.npy", "--max-tokens", "4")
    assert status == 0, error
    assert "the first is read" not in error


@pytest.mark.parametrize("overrides", [(), ("pairs.order=interleaved", "pairs.anchors=True")])
def test_configs_of_two_people_name_what_they_start_from(overrides):
    for variant in ("gemma2_2b", "tiny", "demo"):
        config = load_config(f"motionllm:{variant}:pair", overrides)
        with pytest.raises(ValueError, match="start is empty"):
            check_config(plain(config.to_dict()))
    config = load_config("motionllm:demo:pair", ("start=runs/demo", *overrides))
    assert check_config(plain(config.to_dict())).run[-1] == "pair"


@pytest.mark.slow
@pytest.mark.parametrize("anchors", [False, True])
def test_interleaved_people_are_trained_and_made(trained_motionllm, tmp_path, anchors):
    overrides = (f"start={trained_motionllm}", "pairs.order=interleaved", f"pairs.anchors={anchors}")
    motiongpt3_jax.train("motionllm:test:pair", tmp_path / "run", overrides)
    model = Model.load(tmp_path / "run")
    motion = model.generate(SENTENCE, frames=44)
    assert motion.joints.shape[:2] == (2, 44)
    free = model.generate("two people bow", seed=3)
    assert free.persons == 2
    assert free.frames % 4 == 0
    assert np.isfinite(motion.joints).all()
