import numpy as np
import pytest

from tests.golden import compare, fill, filled, golden, golden_json

SMALL = 300_000


@pytest.mark.golden
def test_fill_follows_the_recorded_sums():
    check, manifest = golden_json("fill_check"), golden_json("e2e.manifest") | golden_json("evaluator.manifest")
    small = [key for key in check if np.prod(manifest[key]["shape"]) <= SMALL]
    assert small
    tensors = {key: fill(key, manifest[key]["shape"]) for key in small}
    for name, reduce in {"sum": np.sum, "abs": lambda x: np.abs(x).sum()}.items():
        ours = [reduce(tensors[key].astype(np.float64)) for key in small]
        compare(f"fill/{name}", ours, [check[key][name] for key in small], atol=1e-4, rtol=1e-6)
    heads = {key: tensors[key].reshape(-1)[:3] for key in small}
    for key in small:
        np.testing.assert_allclose(heads[key], check[key]["head"], rtol=1e-6, err_msg=key)


@pytest.mark.golden
def test_filled_shares_tied_tensors():
    state = filled("mot_gpt2_tiny_all_l2")
    assert state["lm.language_model.lm_head.weight"] is state["lm.language_model.transformer.wte.weight"]


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
