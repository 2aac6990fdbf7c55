import importlib.util

import pytest

from motiongpt3_jax.parallel.topology import slice_devices, split_topology


def test_without_libtpu_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    needed = r"needs libtpu, which is not installed: pip install 'motiongpt3_jax\[tpu\]'; or .* --platform estimate"
    with pytest.raises(ValueError, match=needed):
        slice_devices("v5e:4x4")


@pytest.mark.parametrize(
    ("topology", "found"),
    [("v5e:4x4", (1, "v5e:4x4")), ("4xv5e:16x16", (4, "v5e:16x16")), ("v5p:2x2x2", (1, "v5p:2x2x2"))],
)
def test_several_slices_are_named_with_their_number(topology, found):
    assert split_topology(topology) == found
