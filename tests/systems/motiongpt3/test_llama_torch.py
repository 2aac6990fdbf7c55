"""The text branch of Llama's family against that of transformers, on random weights."""

import jax
import numpy as np
import pytest

from motiongpt3_jax.systems.motiongpt3.pretrained import pretrained_text
from tests.extras import torch_module
from tests.systems.llama import CONFIG, IDS, logits_of, spec_of

pytestmark = pytest.mark.torch
torch = torch_module()
TOKENS = np.array([[5, 9, 200, 7, 3, 1, 299, 42], [8, 2, 1, 0, 77, 6, 5, 4]], np.int32)


@pytest.mark.parametrize(("tied", "shard"), [(False, "50GB"), (True, "20KB")], ids=["untied", "tied in several files"])
def test_logits_are_those_of_transformers(tied, shard, tmp_path):
    import transformers

    torch.manual_seed(0)
    values = {key: value for key, value in CONFIG.items() if key != "model_type"} | {"tie_word_embeddings": tied}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=IDS, **values)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Far from even attention.
            parameter.mul_(8.0).add_(0.1 * torch.randn_like(parameter))
        wanted = model(torch.from_numpy(TOKENS.astype(np.int64))).logits.numpy()
    model.save_pretrained(tmp_path, max_shard_size=shard)
    assert (tmp_path / "model.safetensors").is_file() != tied
    spec = spec_of(f"model.decoder.tied={tied}")
    params = jax.tree.map(np.asarray, pretrained_text(str(tmp_path), spec))
    found = logits_of(spec, params, TOKENS)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=2e-5 * np.abs(wanted).max())
