"""Configs are checked whole, before anything is built."""

import re
from types import SimpleNamespace

import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.experiment import run
from motiongpt3_jax.experiment.check_config import check_config, stages_to_run
from motiongpt3_jax.inference.folder import plain
from tests.commands.conftest import call


def checked(*overrides):
    return check_config(plain(load_config("motiongpt3:test", overrides).to_dict()))


@pytest.mark.parametrize("variant", ["base", "tiny", "demo", "test"])
@pytest.mark.parametrize("deviations", ["", ":official"])
def test_every_config_that_comes_with_the_package_is_right(variant, deviations):
    check_config(plain(load_config(f"motiongpt3:{variant}{deviations}").to_dict()))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("run=()", "config.run names no stage to train; config.stages has: "),
        ("run=('vae', 'vae')", "config.run names a stage twice"),
        ("run=('vae', 'dance')", "config.run names a stage 'dance'; config.stages has: "),
        ("seed=None", "config.seed is None; it must be a whole number from 0 to 2147483647"),
        ("seed=99999999999999999999", "config.seed is 99999999999999999999"),
        ("stages.vae.steps=-1", "config.stages.vae.steps is -1"),
        ("tokenizer=train:256", "a tokenizer of 256 ids was asked for; at least 257"),
        ("tokenizer=train:999999999", "262144 are the most"),
        ("tokenizer=train:²", "write train:SIZE"),
        ("tokenizer=train:300+humanml3d", "with one of procedural, procedural_pairs"),
        ("model.vae.layers=4", "config.model.vae.layers is 4; it must be an odd number from 3 on"),
        ("model.decoder.heads=5", "config.model.decoder.width 32 is not a multiple of its 5 heads"),
        ("model.decoder.motion_factor=0.3", "is 10, which is not a multiple of config.model.head's 4 heads"),
        ("model.decoder.max_positions=200", "beyond config.model.decoder.max_positions 200"),
        ("data.min_frames=100", "config.data.min_frames is 100, and config.data.max_frames 47"),
        ("data.on_bad=shrug", "it must be one of stop, skip"),
        ("stages.text.trainable=('vocabulary/txt/.*',)", "config.stages.text.trainable: pattern"),
        ("stages.vae.optimizer.groups=(('head/.*', 2.0),)", "'head/.*' matches no parameter that trains"),
        ("stages.vae.optimizer.muon=('head/.*',)", "config.stages.vae.optimizer.muon: 'head/.*' matches no parameter"),
        (
            "stages.vae.optimizer.moments=(('nu/head/.*','bfloat16'),)",
            "config.stages.vae.optimizer.moments: 'nu/head/.*' matches no moment, such as mu/vae/",
        ),
        ("stages.vae.optimizer.moments=(('mu/.*','int8'),)", "one of float32, bfloat16"),
        ("stages.vae.optimizer.muon=('vae/.*',)", "config.stages.vae.optimizer.muon: 'vae/.*' matches vae/"),
        ("stages.generate.templates=''", "the loss language needs instruction templates"),
        ("stages.generate.templates=none", "config.stages.generate.templates: no templates 'none'"),
        ("stages.align_bare.subtasks=(('fly', 1.0),)", "names 'fly'; the templates have: "),
        ("stages.align_bare.subtasks=(('t2m', 0.0),)", "gives no sub-task any visits"),
        ("stages.vae.optimizer.eps=0", "config.stages.vae.optimizer.eps is 0.0; it must be a number above 0 to 1"),
        ("stages.vae.keep=0", "config.stages.vae.keep is 0"),
        ("stages.vae.best=loss/text", "config.stages.vae.best is 'loss/text'; it must be one of loss, loss/features, "),
        ("stages.generate.best=loss/text", "it must be one of loss, loss/diffusion"),
        ("model.diffusion_steps=0", "config.model.diffusion_steps is 0"),
        ("model.betas=(0.1,)", "config.model.betas is (0.1,); it must be a pair"),
        ("model.betas=(0.2, 0.1)", "config.model.betas is (0.2, 0.1); the noise rises"),
        ("stages.generate.batch.outputs=0", "has room for 0, and the sub-task 't2m' takes 1"),
        ("stages.vae.batch.clips=((40, 8),)", "config.data.max_frames is 47: add longer ones"),
        ("stages.vae.batch.clips=((9000, 8),)", "the VAE reads 206 at most"),
    ],
)
def test_a_value_that_no_run_can_have_is_refused_by_its_key(override, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        checked(override)


def test_a_pretrained_text_branch_needs_its_own_tokenizer_and_leaves_its_stage_out():
    with pytest.raises(ValueError, match="needs the tokenizer that it was trained with"):
        checked("pretrained=gpt2")
    with pytest.raises(ValueError, match="names no stage to train; a pretrained text branch is not pretrained again"):
        checked("pretrained=gpt2", "tokenizer=gpt2", "run=('text',)")
    assert stages_to_run(checked("pretrained=gpt2", "tokenizer=gpt2")) == ["vae", "generate", "align_bare"]


@pytest.mark.parametrize("override", ["stages.vae.steps=0", "tokenizer=./nowhere", "data.path=nowhere", "mesh.fsdp=3"])
def test_what_is_wrong_with_a_config_is_said_before_data_are_built(override, tmp_path):
    asked = ("train", "--config", "motiongpt3:test", "--workdir", tmp_path / "run", f"--config.{override}")
    status, out, error = call(*asked)
    assert (status, out, len(error.splitlines())) == (2, "", 1)
    assert not (tmp_path / "run").exists()


def test_a_stage_that_bench_cannot_measure_is_said_before_data_are_built():
    status, out, error = call("bench", "train", "--config", "motiongpt3:test", "--stage", "none")
    assert (status, out) == (2, "")
    assert "--stage none: the config runs vae, text, generate, align_bare" in error


def test_options_of_sampling_are_looked_at_before_the_demo_is_trained(tmp_path):
    status, out, error = call("demo", "--config", "motiongpt3:test", "--steps", "0", "--out", tmp_path / "run")
    assert (status, out) == (2, "")
    assert "--steps 0" in error
    assert not (tmp_path / "run").exists()


def test_rows_may_be_given_per_data_shard(monkeypatch):
    axes = {"data": 2, "fsdp": 4, "tensor": 2}
    monkeypatch.setattr(run, "mesh_of", lambda config: SimpleNamespace(shape=axes))
    shared = checked("stages.vae.batch.rows=3", "mesh.rows=per_shard")
    assert run.rows_of(shared, "vae") == 24
    run.check_devices(shared)
    total = checked("stages.vae.batch.rows=3")
    assert run.rows_of(total, "vae") == 3
    with pytest.raises(ValueError, match=r"3 rows does not divide over data x fsdp = 8 devices"):
        run.check_devices(total)
