"""Every ablation is a config that can be trained, and differs from the reference."""

from pathlib import Path

import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.inference.folder import plain

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "ablations"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def load(name: str, variant: str):
    return load_config(f"{FOLDER / name}.py:{variant}")


@pytest.mark.parametrize("variant", ["tiny", pytest.param("base", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NAMES)
def test_an_ablation_can_be_trained(name, variant):
    check_config(plain(load(name, variant).to_dict()))


@pytest.mark.parametrize("variant", ["base", "tiny"])
def test_ablations_are_all_different(variant):
    seen = [load(name, variant).to_json() for name in NAMES]
    assert len(set(seen)) == len(NAMES) > 8


def test_the_reference_is_the_published_model():
    assert load("reference", "base").to_dict() == load_config("motiongpt3:base").to_dict()


def test_another_variant_is_named():
    with pytest.raises(ValueError, match="no variant 'huge' of an ablation; there are: base, tiny"):
        load("flow", "huge")


def test_the_docs_say_what_each_ablation_changes():
    told = (FOLDER.parents[1] / "docs" / "scaling.md").read_text().partition("## Ablations")[2]
    assert [name for name in NAMES if f"`{name}`" not in told] == []
