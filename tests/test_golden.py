import json

import numpy as np
import pytest

from tests.golden import MOTIONGPT, MOTIONGPT3, MOTIONLLM, compare, filled, golden, golden_motiongpt

SMALL = 300_000


def recorded(fixtures):
    """(key, shape, recorded sums) of every filled tensor."""
    check = fixtures.json("fill_check")
    if fixtures is MOTIONLLM:
        lists = [json.loads(path.read_text(encoding="utf-8")) for path in fixtures.folder.glob("*.manifest.json")]
        shapes = {key: entry["shape"] for manifest in lists for key, entry in manifest.items()}
        return [
            (key, shapes[key], {"sum": entry["sum"], "abs": entry["abs_sum"], "head": entry["first"]})
            for key, entry in check.items()
        ]
    if fixtures is MOTIONGPT:
        return [
            (key, fixtures.json(f"{name}.manifest")[key]["shape"], entry)
            for name, part in check.items()
            for key, entry in part.items()
        ]
    manifest = fixtures.json("e2e.manifest") | fixtures.json("evaluator.manifest")
    return [(key, manifest[key]["shape"], entry) for key, entry in check.items()]


@pytest.mark.golden
@pytest.mark.parametrize("fixtures", [MOTIONGPT3, MOTIONGPT, MOTIONLLM], ids=["motiongpt3", "motiongpt", "motionllm"])
def test_fill_follows_the_recorded_sums(fixtures):
    small = [entry for entry in recorded(fixtures) if np.prod(entry[1]) <= SMALL]
    assert small
    tensors = [fixtures.fill(key, shape) for key, shape, _ in small]
    for name, reduce in {"sum": np.sum, "abs": lambda x: np.abs(x).sum()}.items():
        ours = [reduce(tensor.astype(np.float64)) for tensor in tensors]
        wanted = [entry[name] for *_, entry in small]
        compare(f"fill/{fixtures.folder.name}/{name}", ours, wanted, atol=1e-4, rtol=1e-6)
    for tensor, (key, _, entry) in zip(tensors, small):
        np.testing.assert_allclose(tensor.reshape(-1)[:3], entry["head"], rtol=1e-6, err_msg=key)


@pytest.mark.golden
def test_filled_shares_tied_tensors():
    state = filled("mot_gpt2_tiny_all_l2")
    assert state["lm.language_model.lm_head.weight"] is state["lm.language_model.transformer.wte.weight"]


@pytest.mark.golden
def test_a_codebook_is_filled_by_its_own_rule():
    codebook = MOTIONGPT.filled("vqvae", "vae.quantizer")["vae.quantizer.codebook"]
    assert float(codebook.std()) == pytest.approx(0.6, rel=0.01)
    assert golden_motiongpt("vqvae")["c0_codes"].dtype == np.int32


def test_compare_names_the_worst_entry():
    with pytest.raises(AssertionError, match=r"1 of 2 entries .* worst at \(1,\)"):
        compare("own/worst", [1.0, 2.5], [1.0, 2.0], atol=1e-3, rtol=0)


def test_compare_takes_nan_for_a_difference():
    with pytest.raises(AssertionError, match="entries differ"):
        compare("own/nan", [np.nan], [1.0])


def test_compare_relative_to_the_largest_value():
    compare("own/relative", [100.0, 0.005], [100.0, 0.0], atol=0, rtol=1e-4, relative_to_max=True)


def test_missing_fixture_skips():
    with pytest.raises(pytest.skip.Exception, match="no_such_fixture"):
        golden("no_such_fixture")
