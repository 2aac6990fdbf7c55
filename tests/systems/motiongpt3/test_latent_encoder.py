"""Latents that are computed once, before a stage, against those that its steps compute."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.experiment.run import make_run
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.systems.motiongpt3.flops import encode_flops
from motiongpt3_jax.systems.motiongpt3.forward import encode_clips
from tests.inference.models import random_variables

WHOLE = "data.crop=False"
CACHED = "data.latents='cached'"
STAGE = "align_bare"


def checked(*overrides):
    return check_config(plain(load_config("motiongpt3:test", overrides).to_dict()))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """(a run whose steps encode their clips, the same with cached latents, variables of both)."""
    online = make_run(load_config("motiongpt3:test", [WHOLE]), tmp_path_factory.mktemp("run"))
    return online, replace(online, config=checked(CACHED)), random_variables(online.folder)[1]


@pytest.fixture(scope="module")
def batches(runs):
    online, cached, variables = runs
    return tuple(run.loader(STAGE, "train", lambda: variables).batch(0) for run in (online, cached))


def test_each_clip_brings_the_posterior_that_a_step_would_compute(runs, batches):
    online, cached = batches
    modules, params = runs[0].system().modules, runs[2].params
    assert cached.clips == ()
    found = {}
    for batch in (online, cached):
        posterior = jax.jit(lambda batch: encode_clips(modules, params, batch))(batch)
        real = batch.clip_frames > 0
        for seed, frames, *of_clip in zip(
            batch.clip_seeds[real], batch.clip_frames[real], *(x[real] for x in posterior)
        ):
            found.setdefault((int(seed), int(frames)), []).append(np.stack(of_clip))
    both = [pair for pair in found.values() if len(pair) == 2]
    assert len(both) > 4
    for computed, known in both:
        np.testing.assert_allclose(known, computed, rtol=0, atol=1e-5)


def test_losses_of_cached_latents_are_finite_and_need_no_flops_of_the_vae(runs, batches):
    _, cached, variables = runs
    system, stage = cached.system(), {stage.name: stage for stage in cached.stages()}[STAGE]
    batch = batches[1]
    draws = system.draw(jax.random.key(1), batch, train=True)
    terms = jax.jit(lambda: system.losses[stage.loss](variables, batch, draws, stage.objective))()
    assert all(np.isfinite(float(x)) and float(x) > 0 for x in terms.sums.values())
    frames = batch.clip_frames[batch.clip_frames > 0]
    vae = sum(encode_flops(system.config.vae, int(count)) for count in frames)
    shown = batch.replace(encoded=None, clips=(np.zeros((1, 1, 1, 1)),))
    spared = system.train_flops(stage.loss, shown, stage.objective) - system.train_flops(
        stage.loss, batch, stage.objective
    )
    np.testing.assert_allclose(spared, vae)


def test_an_encoder_with_dropout_is_not_cached():
    with pytest.raises(UserError, match=r"encodes anew in each step: set config\.data\.latents to online"):
        checked(CACHED, f"stages.{STAGE}.objective.vae_dropout=True")
