"""The motion VQ-VAE's own promises: padding and batch mates change nothing, sizes, lengths, and what it refuses."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import VqVae, VqVaeConfig, conv, nearest_codes, repeat_last_frame, vqvae_loss
from motiongpt3_jax.models.vqvae_loss import position_columns
from tests.models.published_vqvae import CONFIG as PUBLISHED
from tests.models.tiny import drawn

CONFIG = VqVaeConfig(
    features=23, width=8, code_width=6, codes=16, downsamples=2, depth=2, dilation_growth=3, dtype="float32"
)
FRAMES = np.array([18, 8, 13, 0])
CLIPS = np.asarray(jax.random.normal(jax.random.key(1), (4, 18, 23)))
TABLE = np.asarray(jax.random.normal(jax.random.key(2), (16, 6)))


@cache
def weights():
    return drawn(VqVae(CONFIG).init, CLIPS, FRAMES, scale=0.1)


@partial(jax.jit, static_argnames=("config", "method"))
def apply(x, lengths, method, config=CONFIG):
    return VqVae(config).apply({"params": weights()}, x, lengths, method=method)


def alone(x, length, method):
    return apply(x[None, :length], np.array([length]), method)[0]


def test_a_clip_is_encoded_and_decoded_as_if_it_were_alone():
    # What lies beyond a clip's end is noise here, not zero.
    vectors = apply(CLIPS, FRAMES, "encode")
    codes = FRAMES // 4
    table = TABLE[nearest_codes(TABLE, vectors)]
    decoded = apply(table, codes, "decode")
    assert vectors.shape == (4, 4, 6)
    assert decoded.shape == (4, 16, 23)
    for row in (1, 2):
        single = alone(CLIPS[row], FRAMES[row], "encode")
        np.testing.assert_allclose(vectors[row, : codes[row]], single, atol=1e-5)
        np.testing.assert_array_equal(nearest_codes(TABLE, vectors)[row, : codes[row]], nearest_codes(TABLE, single))
        np.testing.assert_allclose(decoded[row, : 4 * codes[row]], alone(table[row], codes[row], "decode"), atol=1e-5)
    for row in range(4):
        assert not vectors[row, codes[row] :].any()
        assert not decoded[row, 4 * codes[row] :].any()


def test_without_masks_padding_would_change_codes_and_frames(monkeypatch):
    padded = np.where(np.arange(18)[:, None] < 8, CLIPS[1], 0)[None]
    alone_vectors = alone(CLIPS[1], 8, "encode")
    alone_frames = alone(TABLE[:2], 2, "decode")
    monkeypatch.setattr(conv, "mask_frames", lambda x, frames: x)
    apply.clear_cache()
    vectors = apply(padded, np.array([8]), "encode")[0, :2]
    frames = apply(np.pad(TABLE[:2], ((0, 2), (0, 0)))[None], np.array([2]), "decode")[0, :8]
    apply.clear_cache()
    assert float(jnp.abs(vectors - alone_vectors).max()) > 1e-3
    assert float(jnp.abs(frames - alone_frames).max()) > 1e-3


def test_gradients_of_a_batch_are_the_sum_of_each_clips():
    @jax.jit
    @jax.grad
    def gradient(params, frames):
        vectors = VqVae(CONFIG).apply({"params": params}, CLIPS, frames, method="encode")
        decoded = VqVae(CONFIG).apply({"params": params}, vectors, frames // 4, method="decode")
        sums, _ = vqvae_loss(CLIPS[:, :16], decoded, vectors, 0 * vectors, frames // 4 * 4, frames // 4)
        return sums["features"] + sums["commit"]

    each = [gradient(weights(), np.where(np.arange(4) == row, FRAMES, 0)) for row in range(3)]
    assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(each[1])) > 0.1
    total = jax.tree.map(lambda *x: sum(x), *each)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-4, rtol=1e-4), gradient(weights(), FRAMES), total)


def test_nothing_beyond_a_clips_end_has_an_influence_not_even_a_nan():
    broken = np.where(np.arange(18)[:, None] < FRAMES[:, None, None], CLIPS, np.nan)
    np.testing.assert_array_equal(apply(broken, FRAMES, "encode"), apply(CLIPS, FRAMES, "encode"))


@pytest.mark.parametrize(("downsamples", "depth", "codes"), [(1, 2, 9), (3, 1, 2)])
def test_each_downsampling_halves_the_frames_rounded_down(downsamples, depth, codes):
    config = replace(CONFIG, downsamples=downsamples, depth=depth)
    vectors, params = jax.eval_shape(
        lambda key: VqVae(config).init_with_output(key, CLIPS, FRAMES, method="encode"), jax.random.key(0)
    )
    assert vectors.shape == (4, codes, 6)
    assert config.frames_per_code == 2**downsamples
    assert sum(name.startswith("block") for name in params["params"]["encoder"]["stack_0"]) == depth


def test_bfloat16_is_near_float32_and_results_are_float32():
    config = replace(CONFIG, dtype="bfloat16")
    vectors = apply(CLIPS, FRAMES, "encode", config)
    assert vectors.dtype == jnp.float32
    np.testing.assert_allclose(vectors, apply(CLIPS, FRAMES, "encode"), atol=0.05)
    assert apply(vectors, FRAMES // 4, "decode", config).dtype == jnp.float32


def test_the_published_sizes():
    shapes = jax.eval_shape(VqVae(PUBLISHED).init, jax.random.key(0), jnp.zeros((1, 4, 263)), jnp.array([4]))["params"]
    sizes = {name: sum(x.size for x in jax.tree.leaves(shapes[name])) for name in shapes}
    assert sizes == {"encoder": 9_587_200, "decoder": 9_849_607}
    assert sum(sizes.values()) + PUBLISHED.codes * PUBLISHED.code_width == 19_698_951


def test_a_clip_shorter_than_a_code_is_refused():
    with pytest.raises(ValueError, match="clips of 3 frames do not fit the motion VQ-VAE; a code stands for 4"):
        apply(CLIPS[:, :3], FRAMES, "encode")


def test_the_last_frame_is_repeated_up_to_a_whole_code():
    features, frames = repeat_last_frame(CLIPS, FRAMES, 4)
    np.testing.assert_array_equal(frames, [20, 8, 16, 0])
    assert features.shape == (4, 20, 23)
    np.testing.assert_array_equal(features[0], np.concatenate([CLIPS[0], CLIPS[0, [17, 17]]]))
    np.testing.assert_array_equal(features[2, :16], np.concatenate([CLIPS[2, :13], CLIPS[2, [12, 12, 12]]]))
    np.testing.assert_array_equal(features[1, :8], CLIPS[1, :8])
    assert not features[1, 8:].any()
    assert not features[3].any()


def losses(decoded, vectors, quantised, frames, distance="smooth_l1"):
    frames = np.asarray(frames)
    loss = jax.jit(vqvae_loss, static_argnames="distance")
    return loss(CLIPS[:, :16], decoded, vectors, quantised, frames, frames // 4, distance)


def test_the_loss_counts_what_lies_within_each_clip():
    vectors = np.ones((4, 4, 6))
    sums, counts = losses(CLIPS[:, :16] + 2.0, vectors, 0.5 * vectors, [16, 8, 13, 0])
    assert counts == {"features": 37 * 23, "positions": 37 * 3, "commit": 9 * 6}
    wanted = {"features": 37 * 23 * 1.5, "positions": 37 * 3 * 1.5, "commit": 9 * 6 * 0.25}
    assert {name: float(x) for name, x in sums.items()} == pytest.approx(wanted, rel=1e-5)
    sums, _ = losses(CLIPS[:, :16] + 2.0, vectors, 0.5 * vectors, [16, 8, 13, 0], "l1")
    assert float(sums["features"]) == pytest.approx(37 * 23 * 2.0, rel=1e-5)


def test_commitment_moves_the_encoder_and_not_the_codebook():
    vectors = jnp.ones((4, 4, 6))

    def commit(vectors, quantised):
        return losses(CLIPS[:, :16], vectors, quantised, [4, 0, 0, 0])[0]["commit"]

    to_vectors, to_codes = jax.grad(commit, argnums=(0, 1))(vectors, 0 * vectors)
    np.testing.assert_array_equal(to_vectors[0, 0], np.full(6, 2.0))
    assert not to_vectors[1:].any()
    assert not to_codes.any()


@pytest.mark.parametrize(("features", "columns"), [(263, slice(4, 67)), (251, slice(4, 64)), (23, slice(4, 7))])
def test_positions_lie_where_the_number_of_joints_puts_them(features, columns):
    assert position_columns(features) == columns


@pytest.mark.parametrize("features", [11, 262])
def test_frames_of_no_number_of_joints_are_refused(features):
    with pytest.raises(ValueError, match=f"frames of {features} features hold no joints' positions"):
        position_columns(features)
