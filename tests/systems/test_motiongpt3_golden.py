"""The whole model against numbers recorded from the official implementation: losses, gradients, answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.interop import to_official
from motiongpt3_jax.motion import features_to_joints
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3 import LanguageObjective, MotionOptions, TextOptions
from motiongpt3_jax.systems.motiongpt3.forward import conditions, encode_clips, streams, to_language
from motiongpt3_jax.systems.motiongpt3.respond import decode_latents, sample_latents, write_text
from motiongpt3_jax.training.partition import merge, split
from tests.golden import compare, golden
from tests.systems.official import IDS, batch_of, end_to_end, examples, model, recorded_draws

pytestmark = [pytest.mark.golden, pytest.mark.xdist_group("full-size")]

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


def cases(prefix: str, suffix: str) -> list[str]:
    """Names of the recorded cases, `<prefix>...<suffix>` without the suffix."""
    try:
        names = golden("e2e").files
    except pytest.skip.Exception:
        return [f"{prefix}t2m"]
    return sorted(n.removesuffix(suffix) for n in names if n.startswith(prefix) and n.endswith(suffix))


@jax.jit
def losses(variables, batch, draws):
    return model()[0].losses["language"](variables, batch, draws, LanguageObjective())


@jax.jit
def internals(variables, batch, draws):
    """(final hidden states, the holders' conditions, scaled latents)."""
    modules = model()[0].modules
    mean, log_variance = encode_clips(modules, variables.params, batch)
    latents = to_language(variables.state, mean + jnp.exp(0.5 * log_variance) * draws.latent)
    entering = streams(modules, variables.params, batch, latents)
    hidden = modules.decoder.apply({"params": variables.params["decoder"]}, entering)
    return hidden, conditions(hidden["motion"], batch.outputs), latents


@pytest.mark.parametrize("case", cases("train_", "_gpt_loss"))
def test_training_losses_equal_the_official_ones(case, data):
    batch = batch_of(data, examples(data, case))
    draws = recorded_draws(data, case, batch)
    terms = losses(model()[1], batch, draws)
    compare(f"{case}/gpt_loss", terms.sums["text"] / terms.counts["text"], data[f"{case}_gpt_loss"], rtol=1e-5)
    found = terms.sums["diffusion"] / jnp.maximum(terms.counts["diffusion"], 1)
    compare(f"{case}/diff_loss", found, data[f"{case}_diff_loss"], rtol=1e-5)
    hidden, condition, latents = internals(model()[1], batch, draws)
    last = [int(np.flatnonzero(e.streams["text"].attended)[-1]) for e in examples(data, case)]
    compare(f"{case}/hidden_text_last", hidden["text"][np.arange(len(last)), last], data[f"{case}_hidden_text_last"])
    if f"{case}_z" in data:
        real = batch.output_clip >= 0
        compare(f"{case}/z", condition[real], data[f"{case}_z"])
        targets = np.take_along_axis(np.asarray(latents), np.maximum(batch.output_clip, 0)[..., None, None], axis=1)
        compare(f"{case}/target", targets[real], data[f"{case}_target"])


@pytest.mark.parametrize("case", cases("grad_", "_total"))
def test_gradients_equal_the_official_ones(case, data):
    stage_one = "stage1" in case
    objective = LanguageObjective(text=0.0, diffusion=1.0) if stage_one else LanguageObjective(diffusion=0.5)
    train = {"t2m": "train_t2m", "mixed": "train_mixed", "pred": "train_pred"}[case.rsplit("_", 1)[1]]
    batch = batch_of(data, grad_examples(data, case, train))
    draws = recorded_draws(data, case, batch)
    system, variables = model()
    trainable, frozen = split(variables.params, TRAINABLE)

    @jax.jit
    def total_and_gradients(trainable):
        def total(trainable):
            terms = system.losses["language"](
                Variables(merge(trainable, frozen), variables.state), batch, draws, objective
            )
            means = {k: terms.sums[k] / jnp.maximum(terms.counts[k], 1) for k in terms.sums}
            return sum(objective.term_weights[k] * v for k, v in means.items())

        return jax.value_and_grad(total)(trainable)

    value, gradients = total_and_gradients(trainable)
    compare(f"{case}/total", value, data[f"{case}_total"], rtol=1e-5)
    zeros = jax.tree.map(jnp.zeros_like, frozen)
    named = to_official(jax.tree.map(np.asarray, merge(gradients, zeros)), system.config)
    norms = np.array([np.linalg.norm(named[str(name)]) for name in data[f"{case}_names"]])
    compare(f"{case}/norms", norms, data[f"{case}_norms"], rtol=1e-3, atol=1e-5)
    compare(f"{case}/wte_rows", gradients["vocabulary"]["text"]["new"], data[f"{case}_wte_rows"])
    compare(f"{case}/fake_latent", gradients["null_condition"], data[f"{case}_fake_latent"], atol=1e-6)
    und = named["lm.motion_und_head.layers.weight"][: len(data[f"{case}_und_head_rows"])]
    compare(f"{case}/und_head_rows", und, data[f"{case}_und_head_rows"])
    last = max(int(n.split(".h.")[1].split(".")[0]) for n in data[f"{case}_names"] if ".h." in n)
    attention = named[f"lm.language_model.transformer.h.{last}.c_attn.fn.1.weight"]
    rows = data[f"{case}_h{last}_c_attn1_rows"]
    compare(f"{case}/h{last}_c_attn1_rows", attention[: len(rows)], rows, atol=1e-6, rtol=1e-3)


def grad_examples(data, case, train):
    """Gradients were recorded on the sequences of a training case, unless the file has its own."""
    return examples(data, case if f"{case}_ids" in data else train)


@pytest.mark.parametrize("case", cases("infer_", "_latent"))
def test_motions_equal_the_official_ones_down_to_joints(case, data):
    system, variables = model()
    rows = examples(data, case, clips=False)
    batch = batch_of(data, rows)
    noise = (jnp.asarray(data[f"{case}_init_noise"]), jnp.asarray(data[f"{case}_step_noise"]))
    steps, scale = len(noise[1]), 3.0
    options = MotionOptions(sampler="ancestral", steps=steps, guidance_scale=scale)
    clip_noise = input_noise(data, case, batch)
    sample = jax.jit(lambda v, b, n, c: sample_latents(system.modules, v, b, n, options, c))
    latents = sample(variables, batch, noise, clip_noise)
    compare(f"{case}/latent", latents, data[f"{case}_latent"], atol=0, rtol=1e-4, relative_to_max=True)
    length = data[f"{case}_feats"].shape[1]
    decode = jax.jit(lambda v, z: decode_latents(system.modules, v, z, jnp.asarray(data["lengths"]), length))
    normal = golden("features")
    for name, factor in (("", 1.0), ("_small", 0.01)):
        features = decode(variables, factor * jnp.asarray(data[f"{case}_latent"]))
        compare(f"{case}/feats{name}", features, data[f"{case}_feats{name}"], atol=2e-4)
        joints = features_to_joints(np.asarray(features) * normal["std"] + normal["mean"])
        compare(f"{case}/joints{name}", joints, data[f"{case}_joints{name}"], atol=2e-4)


def input_noise(data, case, batch):
    """Normals of the input clips; the recorded ones of a sample also cover its target, which is not encoded here."""
    if f"{case}_vae_eps" not in data:
        return None
    clips = batch.clip_frames.shape[1]
    recorded = data[f"{case}_vae_eps"].reshape(len(batch.clip_frames), -1, 1, data[f"{case}_vae_eps"].shape[-1])
    return jnp.asarray(recorded[:, :clips])


@pytest.mark.parametrize("case", cases("m2t", "_tokens"))
def test_captions_equal_the_official_ones_down_to_token_ids(case, data):
    system, variables = model()
    masks = data[f"{case}_mask"].astype(bool)
    longest = int(masks.sum(axis=1).max())
    # The official prompts are padded on the left; ours on the right, with the same positions.
    moved = {
        f"{case}_ids": np.full((len(masks), longest), IDS.end),
        f"{case}_mask": np.zeros((len(masks), longest), int),
    }
    for row, mask in enumerate(masks):
        moved[f"{case}_ids"][row, : mask.sum()] = data[f"{case}_ids"][row][mask]
        moved[f"{case}_mask"][row, : mask.sum()] = 1
    rows = [without_padding(e) for e in examples({**data, **moved}, case)]
    batch = batch_of(data, rows)
    noise = jnp.asarray(data[f"{case}_vae_eps"])[:, None, None]
    tokens = data[f"{case}_tokens"]
    options = TextOptions(end=IDS.end, banned=(50257, 50258), max_new=tokens.shape[1])
    ours = np.asarray(jax.jit(lambda v, b, n: write_text(system.modules, v, b, options, n))(variables, batch, noise))
    for row in range(len(tokens)):
        doubtful = np.flatnonzero(data[f"{case}_margin"][row] < 1e-3)
        sure = int(doubtful[0]) if len(doubtful) else tokens.shape[1]
        compare(f"{case}/tokens[{row}]", ours[row, :sure], tokens[row, :sure], atol=0, rtol=0)


def without_padding(example):
    """The example without the slots that may not be keys."""
    from dataclasses import replace

    from motiongpt3_jax.batch import Slots

    text = example.streams["text"]
    kept = Slots(text.ids[text.attended], text.positions[text.attended], text.attended[text.attended])
    return replace(
        example,
        streams={**example.streams, "text": kept},
        targets=example.targets[text.attended],
        weights=example.weights[text.attended],
    )
