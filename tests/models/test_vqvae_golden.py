"""The motion VQ-VAE and its loss against the official one's numbers."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from motiongpt3_jax.models import VqVae, nearest_codes, perplexity, straight_through
from tests.golden import MOTIONGPT, compare, golden_motiongpt
from tests.models.published_vqvae import CONFIG, SMALLEST_MARGIN, from_official

pytestmark = pytest.mark.golden

VQVAE = VqVae(CONFIG)


@pytest.fixture(scope="module")
def data():
    return golden_motiongpt("vqvae")


@cache
def weights():
    return jax.tree.map(jnp.asarray, from_official(MOTIONGPT.filled("vqvae")))


@partial(jax.jit, static_argnames="capture")
def encode(weights, features, frames, capture=False):
    return VQVAE.apply({"params": weights["params"]}, features, frames, method="encode", capture_intermediates=capture)


@jax.jit
def decode(weights, vectors, codes):
    return VQVAE.apply({"params": weights["params"]}, vectors, codes, method="decode")


def full(features):
    return np.full(len(features), features.shape[1])


def compare_codes(name, codes, wanted, margin):
    sure = margin > SMALLEST_MARGIN
    assert sure.any()
    compare(name, np.asarray(codes).reshape(-1)[sure], wanted.reshape(-1)[sure], atol=0, rtol=0)


def test_all_weights_have_a_place_and_the_published_size():
    shapes = jax.eval_shape(VQVAE.init, jax.random.key(0), jnp.zeros((1, 4, CONFIG.features)), jnp.array([4]))
    ours = {path: x.shape for path, x in flatten_dict(shapes["params"], sep="/").items()}
    assert {path: x.shape for path, x in flatten_dict(weights()["params"], sep="/").items()} == ours
    assert sum(map(np.prod, ours.values())) + weights()["table"].size == 19_698_951


def cases(data, end):
    return sorted({name.removesuffix(end) for name in data if name.endswith(end)})


def test_clips_of_several_lengths_in_one_batch_equal_the_official_ones_each_alone(data):
    names = [name for name in cases(data, "_features") if f"{name}_enc" in data]
    frames = np.array([data[f"{name}_features"].shape[1] for name in names])
    batch = np.zeros((len(names), frames.max(), CONFIG.features), np.float32)
    for row, name in enumerate(names):
        batch[row, : frames[row]] = data[f"{name}_features"][0]
    vectors = encode(weights(), batch, frames)
    codes = nearest_codes(weights()["table"], vectors)
    quantised = straight_through(vectors, weights()["table"][codes])
    decoded = decode(weights(), quantised, frames // CONFIG.frames_per_code)
    tolerance = {"atol": 1e-4, "rtol": 1e-4}
    for row, name in enumerate(names):
        count = frames[row] // CONFIG.frames_per_code
        compare(f"vqvae/{name}_enc", vectors[row, :count].T[None], data[f"{name}_enc"], **tolerance)
        compare_codes(f"vqvae/{name}_codes", codes[row, :count], data[f"{name}_codes"], data[f"{name}_margin"])
        compare(f"vqvae/{name}_quantised", quantised[row, :count].T[None], data[f"{name}_quantised"], **tolerance)
        recon = decoded[row, : count * CONFIG.frames_per_code][None]
        compare(f"vqvae/{name}_recon", recon, data[f"{name}_recon"], **tolerance)
        table = weights()["table"][codes[row, :count]]
        compare(f"vqvae/{name}_commit", ((vectors[row, :count] - table) ** 2).mean(), data[f"{name}_commit"])
        used = jnp.bincount(codes[row, :count], length=CONFIG.codes)
        compare(f"vqvae/{name}_perplexity", perplexity(used), data[f"{name}_perplexity"])
