"""The motion VQ-VAE, its loss and gradients against the official one's numbers."""

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from motiongpt3_jax.models import VqVae, nearest_codes, perplexity, straight_through, vqvae_loss
from tests.golden import MOTIONGPT, compare, golden_motiongpt, golden_motionllm
from tests.models.published_vqvae import (
    CONFIG,
    SMALLEST_MARGIN,
    TERM_WEIGHTS,
    from_official,
    official_params,
)

pytestmark = pytest.mark.golden

VQVAE = VqVae(CONFIG)
STRIDE = CONFIG.frames_per_code


class Clip(NamedTuple):
    """What became of a recorded clip, none of it beyond its end."""

    vectors: np.ndarray
    codes: np.ndarray
    quantised: np.ndarray
    decoded: np.ndarray


@pytest.fixture(scope="module")
def data():
    return golden_motiongpt("vqvae")


@cache
def weights():
    return jax.tree.map(jnp.asarray, from_official(MOTIONGPT.filled("vqvae")))


@jax.jit
def encode(params, features, frames):
    return VQVAE.apply({"params": params}, features, frames, method="encode", capture_intermediates=True)


@jax.jit
def decode(params, vectors, codes):
    return VQVAE.apply({"params": params}, vectors, codes, method="decode")


def batched(arrays):
    """Arrays of several lengths in one, zero beyond each, and the lengths."""
    lengths = np.array([len(x) for x in arrays])
    batch = np.zeros((len(arrays), lengths.max(), *arrays[0].shape[1:]), arrays[0].dtype)
    for row, x in zip(batch, arrays):
        row[: len(x)] = x
    return batch, lengths


@pytest.fixture(scope="module")
def clips(data):
    """Every recorded clip by (case, row), all in one batch, and the encoder's hidden states by (case, row, module)."""
    features = {
        (name.split("_")[0], row): x for name in data if name.endswith("_features") for row, x in enumerate(data[name])
    }
    longer = STRIDE * data["pad_codes"].shape[1]
    short = features["c2", 0]
    features["pad", 0] = np.pad(short, ((0, longer - len(short)), (0, 0)))
    batch, frames = batched(list(features.values()))
    params, table = weights()
    vectors, captured = encode(params, batch, frames)
    codes = nearest_codes(table, vectors)
    quantised = straight_through(vectors, table[codes])
    decoded = decode(params, quantised, frames // STRIDE)
    hidden = flatten_dict(captured["intermediates"]["encoder"])
    result, states = {}, {}
    for number, (key, count) in enumerate(zip(features, frames // STRIDE)):
        result[key] = Clip(
            *(np.asarray(x)[number, :count] for x in (vectors, codes, quantised)),
            np.asarray(decoded)[number, : count * STRIDE],
        )
        states[key] = {path[0]: np.asarray(x[0])[number] for path, x in hidden.items() if len(path) == 2}
    return result, states


def compare_codes(name, codes, wanted, margin):
    sure = margin > SMALLEST_MARGIN
    assert sure.any()
    compare(name, codes.reshape(-1)[sure], wanted.reshape(-1)[sure], atol=0, rtol=0)


def stacked(clips, case, name):
    return np.stack([getattr(clip, name) for (other, _), clip in clips[0].items() if other == case])


def test_all_weights_have_a_place_and_the_published_size():
    shapes = jax.eval_shape(VQVAE.init, jax.random.key(0), jnp.zeros((1, STRIDE, CONFIG.features)), jnp.array([STRIDE]))
    ours = {path: x.shape for path, x in flatten_dict(shapes["params"], sep="/").items()}
    params, table = weights()
    assert {path: x.shape for path, x in flatten_dict(params, sep="/").items()} == ours
    assert sum(map(np.prod, ours.values())) + table.size == 19_698_951


@pytest.mark.parametrize("case", ["c0", "c1", "c2", "c3", "c4"])
def test_a_clip_in_a_batch_of_longer_ones_equals_the_official_one_alone(case, data, clips):
    clip = clips[0][case, 0]
    compare(f"vqvae/{case}_enc", clip.vectors.T[None], data[f"{case}_enc"])
    compare_codes(f"vqvae/{case}_codes", clip.codes, data[f"{case}_codes"], data[f"{case}_margin"])
    compare(f"vqvae/{case}_quantised", clip.quantised.T[None], data[f"{case}_quantised"])
    compare(f"vqvae/{case}_recon", clip.decoded[None], data[f"{case}_recon"])


@pytest.mark.parametrize("case", ["c0", "c1", "c2", "c3", "c4", "b"])
def test_commitment_and_perplexity_equal_the_official_ones(case, data, clips):
    vectors, codes = stacked(clips, case, "vectors"), stacked(clips, case, "codes")
    compare(f"vqvae/{case}_commit", ((vectors - np.asarray(weights()[1])[codes]) ** 2).mean(), data[f"{case}_commit"])
    used = np.bincount(codes.reshape(-1), minlength=CONFIG.codes)
    compare(f"vqvae/{case}_perplexity", perplexity(used), data[f"{case}_perplexity"])


def test_a_batch_equals_the_official_one(data, clips):
    compare("vqvae/b_recon", stacked(clips, "b", "decoded"), data["b_recon"])
    compare_codes("vqvae/b_codes", stacked(clips, "b", "codes"), data["b_codes"], data["b_margin"])


def test_hidden_states_of_the_encoder_equal_the_official_ones(data, clips):
    ours = clips[1]["c4", 0]
    ours["conv_in"] = np.maximum(ours["conv_in"], 0)
    names = {"conv_in": "conv_in", "down0": "down_0", "res0": "stack_0", "down1": "down_1", "res1": "stack_1"}
    for official, name in names.items():
        wanted = data[f"c4_enc_{official}"]
        compare(f"vqvae/c4_enc_{official}", ours[name][: wanted.shape[-1]].T[None], wanted)


def test_a_clip_that_counts_its_padding_gets_the_official_codes(data, clips):
    compare_codes("vqvae/pad_codes", clips[0]["pad", 0].codes, data["pad_codes"], data["pad_margin"])
    short = clips[0]["c2", 0].codes
    assert (data["pad_codes"][0, : len(short)] != short).any()


def test_decoded_codes_equal_the_official_ones(data):
    # The official decoder takes whatever it gets for one sequence.
    cases = {f"{case}_decoded": data[f"{case}_codes"].reshape(-1) for case in ("d0", "d1", "dcat")}
    codes, lengths = batched(list(cases.values()))
    params, table = weights()
    decoded = np.asarray(decode(params, table[codes], lengths))
    for row, length, name in zip(decoded, lengths, cases):
        compare(f"vqvae/{name}", row[None, : length * STRIDE], data[name])


def test_the_loss_and_its_gradient_equal_the_official_ones():
    data = golden_motiongpt("vq_losses")
    frames = np.full(len(data["m_ref"]), data["m_ref"].shape[1])
    vectors = np.sqrt(data["commit"]).reshape(1, 1, 1)

    def total(decoded):
        sums, counts = vqvae_loss(data["m_ref"], decoded, vectors, 0 * vectors, frames, np.array([1]))
        means = {name: sums[name] / counts[name] for name in sums}
        return sum(TERM_WEIGHTS[name] * value for name, value in means.items()), means

    (value, means), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(data["m_rst"])
    tolerance = {"atol": 1e-6, "rtol": 1e-5}
    for ours, official in {"features": "feature", "positions": "velocity"}.items():
        compare(f"vq_losses/recons_{official}", means[ours], data[f"recons_{official}"], **tolerance)
    compare("vq_losses/vq_commit", means["commit"], data["vq_commit"], **tolerance)
    compare("vq_losses/total", value, data["total"], **tolerance)
    compare("vq_losses/grad_rst", gradient, data["grad_rst"], atol=1e-9, rtol=1e-4)


@pytest.mark.parametrize("width", ["l22", "l21"])
def test_each_distance_of_the_loss_equals_motionllms(width):
    data = golden_motionllm("vqvae")
    target, decoded = data[f"{width}_gt"], data[f"{width}_pred"]
    frames, commit = np.full(len(target), target.shape[1]), np.float32(0.37)
    vectors = np.sqrt(commit).reshape(1, 1, 1)
    means = {}
    for distance, theirs in {"l1": "l1", "l2": "l2", "smooth_l1": "l1_smooth"}.items():
        sums, counts = vqvae_loss(target, decoded, vectors, 0 * vectors, frames, np.array([1]), distance)
        means[distance] = {name: sums[name] / counts[name] for name in sums}
        for ours, official in {"features": "feat", "positions": "pos"}.items():
            name = f"{width}_{theirs}_{official}"
            compare(f"motionllm_vqvae/{name}", means[distance][ours], data[name], atol=1e-6, rtol=1e-5)
    for name, distance, positions in (("paper", "l1", 0.5), ("options", "l2", 0.1)):
        weights = {"features": 1.0, "positions": positions, "commit": 0.02}
        total = sum(weights[term] * value for term, value in means[distance].items())
        compare(f"motionllm_vqvae/{width}_total_{name}", total, data[f"{width}_total_{name}"], atol=1e-6, rtol=1e-5)


def test_gradients_of_all_weights_equal_the_official_ones():
    data = golden_motiongpt("vq_grad")
    params, table = weights()
    features = data["features"]
    frames = np.full(len(features), features.shape[1])

    def total(params):
        vectors = VQVAE.apply({"params": params}, features, frames, method="encode")
        quantised = table[nearest_codes(table, vectors)]
        decoded = VQVAE.apply(
            {"params": params}, straight_through(vectors, quantised), frames // STRIDE, method="decode"
        )
        sums, counts = vqvae_loss(features, decoded, vectors, quantised, frames, frames // STRIDE)
        means = {name: sums[name] / counts[name] for name in sums}
        return sum(TERM_WEIGHTS[name] * value for name, value in means.items()), means

    (value, means), gradients = jax.jit(jax.value_and_grad(total, has_aux=True))(params)
    compare("vq_grad/total", value, data["total"])
    for ours, official in {"features": "recons_feature", "positions": "recons_velocity", "commit": "commit"}.items():
        compare(f"vq_grad/{official}", means[ours], data[official])
    gradients = official_params(gradients)
    names = [name.removeprefix("vae.") for name in data["names"].tolist()]
    assert set(gradients) == set(names)
    norms = [np.linalg.norm(gradients[name].astype(np.float64)) for name in names]
    compare("vq_grad/norms", norms, data["norms"], atol=1e-4, rtol=1e-4)
    parts = [name for name in names if f"g_{name}" in data]
    assert parts
    for name in parts:
        wanted = data[f"g_{name}"]
        compare(f"vq_grad/{name}", gradients[name][: len(wanted)], wanted, atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_receptive_fields_are_the_official_ones(part, data):
    # With positive weights every ReLU is open, so a gradient is zero outside of the field alone.
    model = VqVae(replace(CONFIG, width=1, code_width=1, features=1))
    method = {"encoder": "encode", "decoder": "decode"}[part]
    # The last row is of the last place.
    places = 1 + int(data[f"rf_{part}"][-1, 0])
    length = places * STRIDE if part == "encoder" else places // STRIDE
    x, count = jnp.ones((1, length, 1)), jnp.array([length])
    params = jax.tree.map(lambda x: jnp.full(x.shape, 0.5), jax.eval_shape(model.init, jax.random.key(0), x, count))
    fields = data[f"rf_{part}"]

    @jax.jit
    @jax.vmap
    def influence(place):
        return jax.grad(lambda x: model.apply(params, x, count, method=method)[0, place, 0])(x)[0, :, 0]

    for (place, first, last), row in zip(fields, influence(fields[:, 0])):
        reached = np.flatnonzero(row)
        assert (reached.min(), reached.max()) == (first, last), f"{part} {place}"
