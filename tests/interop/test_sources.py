"""Where checkpoints are found: here, and on the hub."""

import huggingface_hub
import pytest

from motiongpt3_jax.interop.sources import find_source


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that answers from here: file names by repository; snapshots hold what a model's folder has."""
    files = {"some/body": ["a.ckpt", "README.md"], "many/files": ["a.ckpt", "b/c.ckpt"], "org/gpt2": []}
    snapshots = tmp_path / "snapshots"
    for name in files:
        (snapshots / name).mkdir(parents=True)
    (snapshots / "org/gpt2" / "model.safetensors").touch()

    def snapshot_download(name, allow_patterns):
        return snapshots / name

    def hf_hub_download(name, file):
        if file not in files[name]:
            raise huggingface_hub.errors.EntryNotFoundError("no such file")
        return f"downloaded/{name}/{file}"

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    monkeypatch.setattr(huggingface_hub, "list_repo_files", files.__getitem__)
    monkeypatch.chdir(tmp_path)
    return snapshots


def test_files_and_folders_here(tmp_path):
    (tmp_path / "a.ckpt").touch()
    assert find_source(str(tmp_path / "a.ckpt")) == find_source(str(tmp_path)) == tmp_path / "a.ckpt"
    (tmp_path / "model.safetensors").touch()
    assert find_source(str(tmp_path)) == tmp_path / "model.safetensors"
    (tmp_path / "config.json").write_text('{"n_layer": 12}')
    assert find_source(str(tmp_path)) == tmp_path / "model.safetensors"
    (tmp_path / "config.json").write_text('{"config": {}, "skeleton": "humanml3d"}')
    assert find_source(str(tmp_path)) == tmp_path


def test_a_folder_without_a_checkpoint_or_with_several_is_said(tmp_path):
    with pytest.raises(ValueError, match="it has none"):
        find_source(str(tmp_path))
    for name in ("a.ckpt", "b.pt"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"several: a\.ckpt, b\.pt; name one, as .*/a\.ckpt"):
        find_source(str(tmp_path))


def test_the_hub_gives_the_only_checkpoint_or_the_one_that_is_named(hub):
    assert str(find_source("some/body")) == "downloaded/some/body/a.ckpt"
    assert str(find_source("many/files/b/c.ckpt")) == "downloaded/many/files/b/c.ckpt"
    assert find_source("org/gpt2") == hub / "org/gpt2" / "model.safetensors"


def test_what_the_hub_does_not_have_is_said(hub):
    with pytest.raises(ValueError, match=r"--from many/files: .*several: a\.ckpt, b/c\.ckpt"):
        find_source("many/files")
    with pytest.raises(FileNotFoundError, match=r"many/files/d\.ckpt: there is no such file.*EntryNotFoundError"):
        find_source("many/files/d.ckpt")
    with pytest.raises(FileNotFoundError, match=r"--from nothing\.ckpt: there is nothing"):
        find_source("nothing.ckpt")


def test_the_weights_of_our_own_model_are_asked_for_by_their_folder(tmp_path):
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "config.json").write_text('{"config": {}, "skeleton": "humanml3d"}')
    with pytest.raises(ValueError, match=r"the weights of one of our models; give its folder .*"):
        find_source(str(tmp_path / "model.safetensors"))


@pytest.mark.parametrize("content", ["5", "null", "[" * 100_000])
def test_a_config_of_any_content_beside_a_checkpoint_is_no_matter(tmp_path, content):
    (tmp_path / "a.ckpt").touch()
    (tmp_path / "config.json").write_text(content)
    assert find_source(str(tmp_path)) == tmp_path / "a.ckpt"
