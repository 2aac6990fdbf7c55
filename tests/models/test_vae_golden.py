"""The motion VAE against the official one's numbers."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import MotionVae, vae_loss
from motiongpt3_jax.systems.motiongpt3.official import from_official
from tests.golden import compare, filled, golden
from tests.systems.published import PUBLISHED, vae_objective

pytestmark = pytest.mark.golden

VAE = MotionVae(PUBLISHED.vae)


@pytest.fixture(scope="module")
def data():
    return golden("vae")


@cache
def params():
    return jax.tree.map(jnp.asarray, from_official(filled("vae"), PUBLISHED, prefix="vae.")["vae"])


@jax.jit
def encode(params, features, frames):
    return VAE.apply({"params": params}, features, frames, method="encode", capture_intermediates=True)


@jax.jit
def decode(params, latent, frames, like):
    length = like.shape[1]
    return VAE.apply({"params": params}, latent, frames, length, method="decode", capture_intermediates=True)


def blocks(data, prefix, captured):
    """(name, our output, recorded output, sample) of every recorded block."""
    parts = {"in": captured["inputs"]["block"], "out": captured["outputs"]["block"]}
    for name in data:
        if name.startswith(prefix):
            block, sample = name.removeprefix(prefix).split("_s")
            kind = block.rstrip("0123456789")
            made = captured["middle"] if kind == "mid" else parts[kind]
            made = made["__call__"][0]
            yield name, made if kind == "mid" else made[int(block.removeprefix(kind))], data[name], int(sample)


@pytest.mark.parametrize("case", ["a", "b"])
def test_encoded_clips_equal_the_official_ones(case, data):
    (mean, log_variance), captured = encode(params(), data[f"{case}_features"], data[f"{case}_lengths"])
    compare(f"vae/{case}_mu", mean.swapaxes(0, 1), data[f"{case}_mu"])
    compare(f"vae/{case}_logvar", log_variance.swapaxes(0, 1), data[f"{case}_logvar"])
    latent = mean + np.exp(0.5 * log_variance) * data[f"{case}_eps"].swapaxes(0, 1)
    compare(f"vae/{case}_latent", latent.swapaxes(0, 1), data[f"{case}_latent"])
    for name, made, wanted, sample in blocks(data, f"{case}_enc_", captured["intermediates"]["encoder"]):
        # What padding holds counts nowhere.
        slots = 2 + int(data[f"{case}_lengths"][sample])
        compare(f"vae/{name}", made[sample, :slots], wanted[:slots], atol=2e-4)


@pytest.mark.parametrize("case", ["a", "b"])
def test_decoded_clips_equal_the_official_ones(case, data):
    latent, frames = data[f"{case}_z"].swapaxes(0, 1), data[f"{case}_lengths"]
    features, captured = decode(params(), latent, frames, data[f"{case}_decoded"])
    compare(f"vae/{case}_decoded", features, data[f"{case}_decoded"], atol=2e-4)
    for name, made, wanted, sample in blocks(data, f"{case}_dec_", captured["intermediates"]["decoder"]):
        compare(f"vae/{name}", made[sample, : len(wanted)], wanted, atol=2e-4)


def test_the_loss_equals_the_official_one():
    data = golden("metrics")
    frames = np.full(len(data["vae_ref"]), data["vae_ref"].shape[1])
    posterior = (data[f"vae_{name}"].swapaxes(0, 1) for name in ("mu", "logvar"))
    sums, counts = vae_loss(data["vae_ref"], data["vae_rst"], *posterior, frames, padding=True)
    means = {name: sums[name] / counts[name] for name in sums}
    tolerance = {"atol": 1e-6, "rtol": 1e-5}
    compare("metrics/vae_recons_feature", means["features"], data["vae_recons_feature"], **tolerance)
    compare("metrics/vae_recons_velocity", means["positions"], data["vae_recons_velocity"], **tolerance)
    compare("metrics/vae_kl", means["kl"], data["vae_kl"], **tolerance)
    total = sum(vae_objective().term_weights[name] * value for name, value in means.items())
    compare("metrics/vae_total", total, data["vae_total"], **tolerance)
