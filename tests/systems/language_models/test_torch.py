"""Logits of every family against those of transformers, on random checkpoints in several files."""

import jax
import numpy as np
import pytest

from motiongpt3_jax.systems.language_models import stored_language_model
from tests.extras import torch_module
from tests.systems.language_models.models import CONFIGS, decoder_of, logits_of, section_of, vocabulary_of

pytestmark = pytest.mark.torch
torch = torch_module()

CLASSES = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3", "gemma2": "Gemma2", "gemma3": "Gemma3"}
SLOTS = 12
"""Three windows."""


@pytest.mark.parametrize("family", CONFIGS)
def test_logits_are_those_of_transformers(family, tmp_path):
    import transformers

    values, name = CONFIGS[family], CLASSES[family]
    kind = "Gemma3TextConfig" if family == "gemma3" else f"{name}Config"
    torch.manual_seed(0)
    config = getattr(transformers, kind)(**values, attn_implementation="eager", pad_token_id=0)
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    tokens = np.random.default_rng(0).integers(0, values["vocab_size"], (2, SLOTS)).astype(np.int32)
    with torch.no_grad():
        for parameter in model.parameters():
            # Far from even attention, and norms that are no identities.
            parameter.mul_(6.0).add_(0.2 * torch.randn_like(parameter))
        wanted = model(torch.from_numpy(tokens.astype(np.int64))).logits.numpy()
    model.save_pretrained(tmp_path, max_shard_size="8KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    section = section_of(family, values)
    decoder, ids = decoder_of(section), values["vocab_size"]
    params = jax.tree.map(np.asarray, stored_language_model(str(tmp_path), section, decoder, ids))
    found = np.asarray(logits_of(decoder, vocabulary_of(section, decoder, ids), params, tokens)[0])
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=2e-5 * np.abs(wanted).max())
