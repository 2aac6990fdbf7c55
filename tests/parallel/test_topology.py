import importlib.util

import pytest

from motiongpt3_jax.parallel.topology import slice_devices


def test_without_libtpu_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    needed = r"needs libtpu, which is not installed: pip install 'motiongpt3_jax\[tpu\]'; or .* --platform estimate"
    with pytest.raises(ValueError, match=needed):
        slice_devices("v5e:4x4")
