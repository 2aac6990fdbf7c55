"""The whole model against numbers recorded from the official implementation: losses, gradients, answers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.motion import features_to_joints
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3 import MotionOptions, TextOptions
from motiongpt3_jax.systems.motiongpt3.forward import conditions, encode_clips, streams, to_language
from motiongpt3_jax.systems.motiongpt3.generate_motion import (
    decode_latents,
    read_conditions,
    sample_latents,
    understand,
)
from motiongpt3_jax.systems.motiongpt3.generate_text import respond_text
from motiongpt3_jax.systems.motiongpt3.official import to_official
from motiongpt3_jax.training.partition import merge, split
from tests.golden import compare, golden
from tests.quick import one_quick
from tests.systems.official import (
    IDS,
    batch_of,
    cases,
    end_to_end,
    examples,
    gradient_cases,
    gradient_examples,
    model,
    prompt_examples,
    recorded_draws,
    recorded_latent_noise,
)
from tests.systems.published import language_objective

pytestmark = pytest.mark.golden

TRAINABLE = (
    "decoder/.+/motion(/.*)?",
    "vocabulary/text/new",
    "vocabulary/motion/.*",
    "motion_head/.*",
    "understand/.*",
    "head/.*",
    "null_condition",
)


@pytest.fixture(scope="module")
def data():
    return end_to_end()


@jax.jit
def losses(variables, batch, draws):
    return model()[0].losses["language"](variables, batch, draws, language_objective())


@jax.jit
def internals(variables, batch, noise):
    """(final hidden states, the holders' conditions, scaled latents)."""
    modules = model()[0].modules
    mean, log_variance = encode_clips(modules, variables.params, batch)
    latents = to_language(variables.state, mean + jnp.exp(0.5 * log_variance) * noise)
    entering = streams(modules, variables.params, batch, latents)
    hidden = modules.decoder.apply({"params": variables.params["decoder"]}, entering)
    return hidden, conditions(hidden["motion"], batch.extra["outputs"]), latents


@jax.jit
def gradients(trainable, frozen, state, batch, draws, weights):
    """The weighted loss and its gradients."""

    def total(trainable):
        variables = Variables(merge(trainable, frozen), state)
        terms = model()[0].losses["language"](variables, batch, draws, language_objective())
        return sum(weight * terms.sums[k] / jnp.maximum(terms.counts[k], 1) for k, weight in weights.items())

    return jax.value_and_grad(total)(trainable)


@partial(jax.jit, static_argnames="options")
def sample(variables, batch, noise, clip_noise, options):
    modules = model()[0].modules
    condition = read_conditions(modules, variables, batch, understand(modules, variables, batch, clip_noise))
    return sample_latents(modules, variables, condition, noise, options)


@partial(jax.jit, static_argnames="length")
def decode(variables, latents, frames, length):
    return decode_latents(model()[0].modules, variables, latents, frames, length)


@partial(jax.jit, static_argnames="options")
def write(variables, batch, clip_noise, options):
    modules = model()[0].modules
    return respond_text(modules, variables, batch, options, understand(modules, variables, batch, clip_noise))


@pytest.mark.slow
@pytest.mark.parametrize("case", cases("train_", "_gpt_loss"))
def test_training_losses_equal_the_official_ones(case, data):
    rows = examples(data, case)
    batch = batch_of(data, rows)
    draws = recorded_draws(data, case, batch)
    terms = losses(model()[1], batch, draws)
    compare(f"{case}/gpt_loss", terms.sums["text"] / terms.counts["text"], data[f"{case}_gpt_loss"], rtol=1e-5)
    found = terms.sums["diffusion"] / jnp.maximum(terms.counts["diffusion"], 1)
    compare(f"{case}/diff_loss", found, data[f"{case}_diff_loss"], rtol=1e-5)
    hidden, condition, latents = internals(model()[1], batch, draws.latent)
    last = [int(np.flatnonzero(e.streams["text"].attended)[-1]) for e in rows]
    compare(f"{case}/hidden_text_last", hidden["text"][np.arange(len(last)), last], data[f"{case}_hidden_text_last"])
    if f"{case}_z" in data:
        real = batch.extra["output_clip"] >= 0
        compare(f"{case}/z", condition[real], data[f"{case}_z"])
        targets = np.take_along_axis(
            np.asarray(latents), np.maximum(batch.extra["output_clip"], 0)[..., None, None], axis=1
        )
        compare(f"{case}/target", targets[real], data[f"{case}_target"])


@one_quick("case", gradient_cases(), "grad_stage2_mixed")
def test_gradients_equal_the_official_ones(case, data):
    batch = batch_of(data, gradient_examples(data, case))
    system, variables = model()
    weights = {"text": 0.0, "diffusion": 1.0} if "stage1" in case else {"text": 1.0, "diffusion": 0.5}
    trainable, frozen = split(variables.params, TRAINABLE)
    draws = recorded_draws(data, case, batch)
    value, slopes = gradients(trainable, frozen, variables.state, batch, draws, weights)
    compare(f"{case}/total", value, data[f"{case}_total"], rtol=1e-5)
    zeros = jax.tree.map(lambda x: np.broadcast_to(np.float32(0), x.shape), frozen)
    named = to_official(jax.tree.map(np.asarray, merge(slopes, zeros)), system.config, prefix="lm.")
    norms = np.array([np.linalg.norm(named[str(name)]) for name in data[f"{case}_names"]])
    compare(f"{case}/norms", norms, data[f"{case}_norms"], rtol=1e-3, atol=1e-5)
    compare(f"{case}/wte_rows", slopes["vocabulary"]["text"]["new"], data[f"{case}_wte_rows"])
    compare(f"{case}/fake_latent", slopes["null_condition"], data[f"{case}_fake_latent"], atol=1e-6)
    und = named["lm.motion_und_head.layers.weight"][: len(data[f"{case}_und_head_rows"])]
    compare(f"{case}/und_head_rows", und, data[f"{case}_und_head_rows"])
    last = max(int(n.split(".h.")[1].split(".")[0]) for n in data[f"{case}_names"] if ".h." in n)
    attention = named[f"lm.language_model.transformer.h.{last}.c_attn.fn.1.weight"]
    rows = data[f"{case}_h{last}_c_attn1_rows"]
    compare(f"{case}/h{last}_c_attn1_rows", attention[: len(rows)], rows, atol=1e-6, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("case", cases("infer_", "_latent"))
def test_motions_equal_the_official_ones_down_to_joints(case, data):
    _, variables = model()
    batch = batch_of(data, examples(data, case, clips=False))
    clip_noise = recorded_latent_noise(data, case, batch, clips=False)
    _, condition, _ = internals(variables, batch, clip_noise)
    compare(f"{case}/z", condition[:, 0], data[f"{case}_z"])
    noise = (jnp.asarray(data[f"{case}_init_noise"]), jnp.asarray(data[f"{case}_step_noise"]))
    options = MotionOptions(sampler="ancestral", steps=len(noise[1]), guidance_scale=3.0)
    latents = sample(variables, batch, noise, clip_noise, options)
    compare(f"{case}/latent", latents, data[f"{case}_latent"], atol=0, rtol=1e-4, relative_to_max=True)
    normal = golden("features")
    for name, factor in (("", 1.0), ("_small", 0.01)):
        length = data[f"{case}_feats{name}"].shape[1]
        features = decode(variables, factor * jnp.asarray(data[f"{case}_latent"]), jnp.asarray(data["lengths"]), length)
        compare(f"{case}/feats{name}", features, data[f"{case}_feats{name}"], atol=2e-4)
        joints = features_to_joints(np.asarray(features) * normal["std"] + normal["mean"])
        compare(f"{case}/joints{name}", joints, data[f"{case}_joints{name}"], atol=2e-4)


@one_quick("case", cases("m2t", "_tokens"), "m2t_len")
def test_captions_equal_the_official_ones_down_to_token_ids(case, data):
    system, variables = model()
    rows = prompt_examples(data, case)
    longest = max(int(data[f"{name}_mask"].sum(axis=1).max()) for name in cases("m2t", "_tokens"))
    batch = batch_of(data, rows, text=longest)
    noise = recorded_latent_noise(data, case, batch)
    hidden, _, _ = internals(variables, batch, noise)
    last = [len(e.streams["text"].ids) - 1 for e in rows]
    logits = system.modules.text.apply(
        {"params": variables.params["vocabulary"]["text"]},
        hidden["text"][np.arange(len(rows)), last],
        method="logits",
    )[:, : IDS.text_vocabulary]
    recorded = data[f"{case}_first_logits"]
    stride = -(-IDS.text_vocabulary // recorded.shape[1])
    compare(f"{case}/first_logits", logits[:, ::stride], recorded)
    tokens = data[f"{case}_tokens"]
    options = TextOptions(end=IDS.end, banned=(IDS.start_of_motion, IDS.end_of_motion), max_new=tokens.shape[1])
    ours = np.asarray(write(variables, batch, noise, options))
    for row in range(len(tokens)):
        doubtful = np.flatnonzero(data[f"{case}_margin"][row] < 1e-3)
        sure = int(doubtful[0]) if len(doubtful) else tokens.shape[1]
        compare(f"{case}/tokens[{row}]", ours[row, :sure], tokens[row, :sure], atol=0, rtol=0)
