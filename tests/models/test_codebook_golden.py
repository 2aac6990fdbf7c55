"""The EMA codebook against the official quantiser's updates."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import (
    VqVae,
    advance_codebook,
    empty_codebook,
    nearest_codes,
    perplexity,
    quantise,
    reseed_slots,
    straight_through,
)
from tests.golden import MOTIONGPT, compare, golden_motiongpt
from tests.models.published_vqvae import CONFIG, SMALLEST_MARGIN, from_official

pytestmark = pytest.mark.golden

ROWS = {"atol": 1e-3, "rtol": 1e-4}
"""For sums of a row of 512 numbers."""


@pytest.fixture(scope="module")
def data():
    return golden_motiongpt("vq_ema")


@cache
def params():
    return jax.tree.map(jnp.asarray, from_official(MOTIONGPT.filled("vqvae"))[0])


@jax.jit
def update(codebook, vectors, valid, noise):
    """What a step looks up, and the codebook after it; the order of the vectors seeds codes, as officially."""
    codes, width = codebook["table"].shape
    slots = reseed_slots(jax.random.key(0), valid, codes, width, permuted=False).replace(noise=noise)
    quantised = quantise(codebook, vectors, slots)
    return quantised, straight_through(vectors, quantised.vectors), advance_codebook(codebook, quantised.sums)


def step(data, codebook, name, noise=None):
    """An update by recorded vectors, in an array with room for any recorded ones, so that one program serves all."""
    z = data[f"{name}_z"].swapaxes(1, 2)
    rows, width = codebook["table"].shape
    most = max(data[other].size // width for other in data if other.endswith("_z"))
    count = z.size // width
    vectors = np.zeros((most, width), np.float32)
    vectors[:count] = z.reshape(-1, width)
    noise = jnp.zeros((1, rows, width)) if noise is None else jnp.asarray(noise)[None, :rows]
    quantised, out, after = update(codebook, vectors, np.arange(most) < count, noise)
    quantised = quantised._replace(codes=quantised.codes[:count], vectors=quantised.vectors[:count])
    return vectors[:count], quantised, out[:count].reshape(z.shape), after


def start(data):
    state = {"table": data["s_codebook"], "sums": data["s_code_sum"], "counts": data["s_code_count"]}
    return {**{name: jnp.asarray(x) for name, x in state.items()}, "initialised": jnp.ones((), bool)}


def compare_codebook(name, codebook, data):
    for ours, official in {"table": "codebook", "sums": "code_sum", "counts": "code_count"}.items():
        compare(f"vq_ema/{name}_{official}", codebook[ours], data[f"{name}_{official}"])
    compare(f"vq_ema/{name}_reset", np.asarray(codebook["counts"] < 1), data[f"{name}_reset"])


def compare_look_up(name, vectors, quantised, out, data):
    compare(f"vq_ema/{name}_out", out.swapaxes(1, 2), data[f"{name}_out"])
    commit = ((vectors - quantised.vectors) ** 2).mean()
    compare(f"vq_ema/{name}_commit", commit, data[f"{name}_commit"])
    compare(f"vq_ema/{name}_perplexity", perplexity(quantised.sums["counts"]), data[f"{name}_perplexity"])


def test_a_first_batch_of_fewer_vectors_than_codes_is_repeated_with_noise(data):
    codebook = empty_codebook(*data["t_codebook"].shape)
    _, quantised, _, _ = step(data, codebook, "t", data["t_noise"])
    compare("vq_ema/t_codebook", quantised.sums["seeds"], data["t_codebook"])


def test_a_first_batch_becomes_the_codebook_before_it_is_looked_up(data):
    vectors, quantised, out, codebook = step(data, empty_codebook(*data["i_codebook"].shape), "i")
    compare_look_up("i", vectors, quantised, out, data)
    compare_codebook("i", codebook, data)


def test_later_updates_and_resets_equal_the_official_ones(data):
    codebook = start(data)
    names = sorted(name.removesuffix("_z") for name in data if name.startswith("s") and name.endswith("_z"))
    assert names
    for name in names:
        noise = data.get(f"{name}_tile_noise")
        before = codebook
        vectors, quantised, out, codebook = step(data, codebook, name, noise)
        if data[f"{name}_min_margin"] > SMALLEST_MARGIN:
            compare(f"vq_ema/{name}_codes", quantised.codes, data[f"{name}_codes"], atol=0, rtol=0)
        np.testing.assert_array_equal(quantised.vectors, before["table"][quantised.codes])
        compare_look_up(name, vectors, quantised, out, data)
        compare_codebook(name, codebook, data)
    last = jnp.asarray(data[f"{names[-1]}_z"].swapaxes(1, 2))
    codes = nearest_codes(codebook["table"], last)
    compare("vq_ema/s_eval_codes", np.asarray(codes).reshape(-1), data["s_eval_codes"], atol=0, rtol=0)
    compare("vq_ema/s_eval_out", codebook["table"][codes].swapaxes(1, 2), data["s_eval_out"])


def windows(data, name, frames):
    starts = data[f"{name}_offsets"]
    cut = np.stack([data["f_clip"][first : first + frames] for first in starts])
    return data[f"{name}_scale"][:, None, None] * cut


def test_updates_at_full_size_equal_the_official_ones(data):
    model = VqVae(CONFIG)
    names = sorted(name.removesuffix("_offsets") for name in data if name.endswith("_offsets"))
    most = max(len(data[f"{name}_offsets"]) for name in names)
    codebook = empty_codebook(CONFIG.codes, CONFIG.code_width)
    noise = jnp.zeros((1, CONFIG.codes, CONFIG.code_width))
    encode = jax.jit(partial(model.apply, method="encode"))
    decode = jax.jit(partial(model.apply, method="decode"))
    for name in names:
        length = data[f"{name}_recon_w0"].shape[0]
        clips = windows(data, name, length)
        # Empty places for clips, so that one program serves all; they count nowhere.
        frames = np.where(np.arange(most) < len(clips), length, 0)
        features = np.zeros((most, *clips.shape[1:]), np.float32)
        features[: len(clips)] = clips
        vectors = encode({"params": params()}, features, frames)
        valid = np.arange(vectors.shape[1]) < frames[:, None] // CONFIG.frames_per_code
        quantised, out, codebook = update(codebook, vectors, valid, noise)
        errors = np.where(valid[..., None], vectors - quantised.vectors, 0) ** 2
        compare(f"vq_ema/{name}_commit", errors.sum() / (valid.sum() * vectors.shape[-1]), data[f"{name}_commit"])
        used = perplexity(quantised.sums["counts"])
        compare(f"vq_ema/{name}_perplexity", used, data[f"{name}_perplexity"], atol=1e-2)
        recon = decode({"params": params()}, out[:1], valid[:1].sum(axis=1))
        compare(f"vq_ema/{name}_recon_w0", recon[0], data[f"{name}_recon_w0"], atol=2e-4)
        compare(f"vq_ema/{name}_code_count", codebook["counts"], data[f"{name}_code_count"])
        compare(f"vq_ema/{name}_reset", np.asarray(codebook["counts"] < 1), data[f"{name}_reset"])
        for ours, official in {"table": "codebook", "sums": "code_sum"}.items():
            table, wanted = np.asarray(codebook[ours]), data[f"{name}_{official}_rows"]
            spread = -(-len(table) // len(wanted))
            compare(f"vq_ema/{name}_{official}_rows", table[::spread], wanted)
            compare(f"vq_ema/{name}_{official}_rowsum", table.sum(axis=1), data[f"{name}_{official}_rowsum"], **ROWS)
            total = np.abs(table).sum(axis=1)
            compare(f"vq_ema/{name}_{official}_rowabs", total, data[f"{name}_{official}_rowabs"], **ROWS)
