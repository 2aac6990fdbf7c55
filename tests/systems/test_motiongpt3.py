"""MotionGPT3's losses: packing, seeds, what trains what."""

from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.batch import RowShape
from motiongpt3_jax.data_pipelines.packing import build
from motiongpt3_jax.systems.interface import Terms
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3
from motiongpt3_jax.systems.motiongpt3.forward import conditions, encode_clips, from_language, streams, to_language
from motiongpt3_jax.systems.motiongpt3.layout import SCHEMA
from motiongpt3_jax.systems.motiongpt3.losses import MOMENT_DECAY, Draws, add_noise, text_terms
from motiongpt3_jax.systems.motiongpt3.modules import Modules, latent_state
from tests.systems.published import PUBLISHED, language_objective, vae_objective
from tests.systems.tiny import CONFIG, EXAMPLES, example, features, rows, variables

SYSTEM = MotionGPT3(CONFIG)
KEY = jax.random.key(11)
MEASURED = replace(CONFIG, latent_scale=None)
# Of one shape, so that one program serves both.
PACKED, APART = rows(EXAMPLES, [], []), rows(*([e] for e in EXAMPLES))


class Found(NamedTuple):
    """What one batch gives.

    Attributes:
      posterior: mean and log-variance of every clip.
      hidden: final hidden states; input clips stand for the means of their posteriors.
      language, vae: the losses' terms; the VAE's with measured moments.
      gradients: of the mean diffusion loss, by every parameter.
    """

    posterior: tuple[jax.Array, jax.Array]
    hidden: dict[str, jax.Array]
    language: Terms
    vae: Terms
    gradients: dict[str, Any]


@jax.jit
def run(batch, draws, chance):
    """Everything in one program, as compiling takes longest; `chance` is that of the null condition."""
    params, state, modules = variables().params, variables().state, SYSTEM.modules

    def diffusion(params):
        objective = language_objective(condition_dropout=chance)
        found = SYSTEM.losses["language"](variables().replace(params=params), batch, draws, objective)
        return found.sums["diffusion"] / found.counts["diffusion"], found

    (_, language), gradients = jax.value_and_grad(diffusion, has_aux=True)(params)
    posterior = encode_clips(modules, params, batch)
    entering = streams(modules, params, batch, to_language(state, posterior[0]))
    hidden = modules.decoder.apply({"params": params["decoder"]}, entering)
    vae = MotionGPT3(MEASURED).losses["vae"](variables(MEASURED), batch, draws, vae_objective())
    return Found(posterior, hidden, language, vae, gradients)


@pytest.fixture(scope="module")
def packed():
    return run(PACKED, draws(PACKED), 0.5)


@pytest.fixture(scope="module")
def apart():
    return run(APART, draws(APART), 0.5)


def traced(loss, batch, objective, config=CONFIG):
    """The shapes of a loss's terms, and whether it leaves the state alone; compiles nothing."""
    alone = []

    def terms(variables):
        found = MotionGPT3(config).losses[loss](variables, batch, draws(batch), objective)
        alone.append(not found.state_sums)
        return found

    return jax.eval_shape(terms, variables(config)), alone[0]


def draws(batch, train=False):
    return SYSTEM.draw(KEY, batch, train)


def largest(tree):
    return max(float(np.abs(x).max()) for x in jax.tree.leaves(tree))


def test_the_full_model_has_as_many_parameters_as_the_official_one():
    params = jax.eval_shape(MotionGPT3(PUBLISHED).init, jax.random.key(0)).params
    counts = {name: sum(prod(x.shape) for x in jax.tree.leaves(part)) for name, part in params.items()}
    assert counts.pop("vae") == 18_032_135
    assert sum(counts.values()) == 238_246_912


def test_packed_samples_have_the_hidden_states_that_they_have_alone(packed, apart):
    for name in packed.hidden:
        first = 0
        for row, sample in enumerate(EXAMPLES):
            slots = len(sample.streams[name].ids)
            ours = packed.hidden[name][0, first : first + slots]
            np.testing.assert_allclose(ours, apart.hidden[name][row, :slots], atol=1e-5)
            first += slots


def test_packed_samples_have_the_conditions_that_they_have_alone(packed, apart):
    ours = conditions(packed.hidden["motion"], PACKED.extra["outputs"])[0, :2]
    alone = conditions(apart.hidden["motion"], APART.extra["outputs"])[jnp.array([0, 2]), 0]
    np.testing.assert_allclose(ours, alone, atol=1e-5)


@pytest.mark.parametrize("loss", ["language", "vae"])
def test_packed_samples_have_the_losses_that_they_have_alone(loss, packed, apart):
    ours, alone = getattr(packed, loss), getattr(apart, loss)
    for name in ours.sums:
        np.testing.assert_allclose(ours.sums[name], alone.sums[name], rtol=1e-5)
        np.testing.assert_array_equal(ours.counts[name], alone.counts[name])


def test_a_packed_batchs_gradients_are_those_of_its_samples(packed, apart):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), packed.gradients, apart.gradients)


def test_losses_count_text_targets_draws_and_real_frames(packed):
    assert packed.language.counts == {"text": 4 + 4 + 4, "diffusion": 2 * CONFIG.repeats}
    assert packed.vae.counts["features"] == (12 + 14 + 5 + 11) * CONFIG.vae.features


def test_draws_belong_to_their_samples_and_to_the_key():
    packed, apart = draws(PACKED), draws(APART)
    np.testing.assert_array_equal(packed.latent[0, 1], apart.latent[1, 0])
    np.testing.assert_array_equal(packed.noise[0, 1], apart.noise[2, 0])
    other = SYSTEM.draw(jax.random.key(12), PACKED, False)
    assert largest(packed.latent - other.latent) > 0.1
    assert largest(packed.noise[0, 0] - packed.noise[0, 1]) > 0.1
    assert draws(PACKED, train=True).dropout is not None


def test_the_null_condition_trains_only_through_dropped_conditions():
    none, dropped = (run(PACKED, draws(PACKED), chance).gradients for chance in (0.0, 1.0))
    assert largest(none["null_condition"]) == 0
    assert largest(none["decoder"]) > 1e-6
    assert largest(dropped["null_condition"]) > 1e-6
    assert largest(dropped["decoder"]) == 0


def test_the_diffusion_loss_trains_neither_the_vae_nor_the_motion_logits(packed):
    assert largest(packed.gradients["vae"]) == 0
    assert largest(packed.gradients["motion_head"]) == 0
    for name in ("understand", "head", "null_condition", "decoder"):
        assert largest(packed.gradients[name]) > 1e-7, name


def test_the_latents_moments_move_towards_the_batchs(packed):
    start, (mean, log_variance) = latent_state(MEASURED), packed.posterior
    latents = (mean + jnp.exp(0.5 * log_variance) * draws(PACKED).latent)[PACKED.clip_frames > 0]
    for name, power in (("latent_mean", 1), ("latent_square", 2)):
        wanted = MOMENT_DECAY * start[name] + (1 - MOMENT_DECAY) * (latents**power).mean(0)
        moved = MotionGPT3(MEASURED).advance(start, packed.vae.state_sums)
        np.testing.assert_allclose(moved[name], wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("config", [CONFIG, MEASURED], ids=["given", "measured"])
def test_fresh_moments_have_the_type_of_later_ones(config):
    """Weakly typed, they would have the train step compiled again for its own results."""
    assert not any(x.weak_type for x in latent_state(config).values())


def test_a_batch_without_clips_leaves_the_latents_moments_alone():
    start = latent_state(MEASURED)
    nothing = {"clips": 0.0} | {name: jnp.zeros_like(x) for name, x in start.items()}
    jax.tree.map(np.testing.assert_array_equal, MotionGPT3(MEASURED).advance(start, nothing), start)


def test_a_fixed_scale_stays_fixed():
    _, alone = traced("vae", PACKED, vae_objective())
    assert alone
    latents = jnp.ones((2, 1, CONFIG.vae.width))
    np.testing.assert_allclose(to_language(variables().state, latents), CONFIG.latent_scale * latents, rtol=1e-6)


def test_measured_latents_become_standard_and_come_back():
    latents = 3.0 + 2.0 * jax.random.normal(KEY, (500, 1, CONFIG.vae.width))
    state = {"latent_mean": latents.mean(0), "latent_square": (latents**2).mean(0)}
    scaled = to_language(state, latents)
    np.testing.assert_allclose(scaled.mean(0), 0.0, atol=1e-3)
    np.testing.assert_allclose(scaled.std(0), 1.0, atol=1e-3)
    np.testing.assert_allclose(from_language(state, scaled), latents, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("weights", "kept"), [({"text": 0.0}, "diffusion"), ({"diffusion": 0.0}, "text")])
def test_a_term_without_weight_is_not_computed(weights, kept):
    assert traced("language", PACKED, language_objective(**weights))[0].sums.keys() == {kept}


def test_text_alone_needs_no_clip():
    shape = RowShape((("text", 6),), clips=(), samples=1)
    batch = build([[example(1, [5, 7, 2, 19], (), inputs=0)]], features, shape, SCHEMA, CONFIG.vae.features)
    assert traced("text", batch, language_objective())[0].sums.keys() == {"text"}


def test_unpredictable_targets_count_as_the_uniform_guess():
    words = jnp.zeros((3, 24, 8))
    plain, lost = (
        text_terms(
            SYSTEM.modules,
            variables().params,
            words,
            PACKED.replace(extra={**PACKED.extra, "unpredictable": np.array([n, 0, 0])}),
        )
        for n in (0, 2)
    )
    assert lost.counts["text"] == plain.counts["text"] + 2
    np.testing.assert_allclose(lost.sums["text"] - plain.sums["text"], 2 * np.log(22), rtol=1e-4)


def test_rectified_flow_predicts_the_way_from_noise_to_data():
    drawn, clean = draws(PACKED), jnp.ones((3, 3, 1, 1, CONFIG.vae.width))
    noisy, time, way = add_noise(Modules(replace(CONFIG, flow=True)), clean, drawn)
    time = time[..., None, None]
    np.testing.assert_allclose(noisy + (1 - time) * way, jnp.broadcast_to(clean, noisy.shape), atol=1e-6)
    np.testing.assert_allclose(noisy - time * way, drawn.noise, atol=1e-6)


def test_logit_normal_times_have_a_normal_logit():
    uniform = (np.arange(1000) + 0.5) / 1000
    drawn = Draws(None, jnp.asarray(uniform)[None, None], jnp.zeros((1, 1, 1000, 1, 1)), None)
    modules = Modules(replace(CONFIG, flow=True, times="logit_normal"))
    _, time, _ = add_noise(modules, jnp.ones((1, 1, 1, 1, 1)), drawn)
    logits = np.sort(np.log(time / (1 - time)).ravel())
    np.testing.assert_allclose([logits.mean(), logits.std(), logits[158], logits[841]], [0, 1, -1, 1], atol=0.02)
