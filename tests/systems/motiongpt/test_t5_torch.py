"""Our T5 against that of transformers, on random weights."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import T5
from motiongpt3_jax.systems.motiongpt.t5_weights import from_t5, open_t5
from tests.extras import torch_module
from tests.models.t5_rows import END, embedded, generate, logits_of, options, vocabulary

pytestmark = pytest.mark.torch
torch = torch_module()
IDS, SPARE = 29, 3
SOURCE = np.array([[5, 9, 20, 7, 3, 1], [8, 2, 1, 0, 0, 0]])
TARGET = np.array([[0, 4, 6, 28], [0, 31, 5, 1]])


@pytest.fixture(scope="module")
def reference():
    """Transformers' model in double the usual spread, so that attention is far from even."""
    import transformers

    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=IDS + SPARE,
        d_model=16,
        d_kv=4,
        d_ff=24,
        num_layers=2,
        num_decoder_layers=3,
        num_heads=3,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=16,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
    )
    model = transformers.T5ForConditionalGeneration(config).eval()
    # Fresh ones of transformers 5 share their tables whatever the config says; published ones do not.
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5).add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def ours(reference, tmp_path_factory):
    """(sizes, words, parameters) out of what transformers saves."""
    folder = tmp_path_factory.mktemp("t5")
    reference.save_pretrained(folder)
    config, tensors = open_t5(folder)
    config = replace(config, dropout=0.0)
    return config, vocabulary(config, IDS, SPARE), jax.tree.map(jnp.asarray, from_t5(tensors, config, IDS))


def test_logits_are_those_of_transformers(reference, ours):
    config, words, params = ours
    mask = SOURCE > 0

    @jax.jit
    def logits(params):
        sides = embedded(words, params, SOURCE, mask), embedded(words, params, TARGET)
        return logits_of(words, params, T5(config).apply({"params": params["t5"]}, *sides))

    with torch.no_grad():
        wanted = reference(
            input_ids=torch.from_numpy(SOURCE),
            attention_mask=torch.from_numpy(mask.astype(np.int64)),
            decoder_input_ids=torch.from_numpy(TARGET),
        ).logits.numpy()
    np.testing.assert_allclose(logits(params)[..., : IDS + SPARE], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("beams", [1, 3])
def test_texts_are_those_of_transformers(reference, ours, beams):
    config, words, params = ours
    with torch.no_grad():
        wanted = reference.generate(
            input_ids=torch.from_numpy(SOURCE),
            attention_mask=torch.from_numpy((SOURCE > 0).astype(np.int64)),
            max_new_tokens=12,
            num_beams=beams,
            do_sample=False,
            # The cache of transformers 5 has as many layers as the encoder.
            use_cache=False,
        ).numpy()[:, 1:]
    chosen = replace(options(12, beams), collect_finished=beams > 1)
    found = np.asarray(generate(config, words, chosen, params, SOURCE, SOURCE > 0))
    behind = np.cumsum(np.pad(wanted, ((0, 0), (1, 0)))[:, :-1] == END, axis=1) > 0
    np.testing.assert_array_equal(found[:, : wanted.shape[1]], np.where(behind, END, wanted))
