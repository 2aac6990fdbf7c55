"""Downloads: said before they are waited for, and one error for all that may go wrong."""

import huggingface_hub
import pytest

from motiongpt3_jax import hub


def test_what_is_waited_for_is_said_first(monkeypatch, capsys):
    said = []
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda name, **_: said.append(capsys.readouterr().err) or "here"
    )
    assert hub.snapshot("some/body", ("a.json",)) == "here"
    assert said == ["there is no 'some/body' here; asking the Hugging Face hub ...\n"]


def test_whatever_the_hub_raises_is_one_error(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("of any kind")

    for name in ("snapshot_download", "hf_hub_download", "list_repo_files"):
        monkeypatch.setattr(huggingface_hub, name, fail)
    for ask in (lambda: hub.snapshot("a/b", ()), lambda: hub.file("a/b", "c"), lambda: hub.files("a/b")):
        with pytest.raises(FileNotFoundError, match=r"the hub did not give it \(RuntimeError\)"):
            ask()
