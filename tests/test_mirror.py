"""Small files of a run on a remote store lie in a local mirror, and whatever a checkpoint needs is pushed before it."""

import argparse
import os

import pytest

from motiongpt3_jax.commands.arguments import store_path, user_path
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.mirror import fetch, is_remote, local_folder, open_mirror, push, store_of
from tests.stores import bucket  # noqa: F401
from tests.trained import call


def test_files_of_a_mirror_are_pushed_once_and_fetched_by_another_machine(bucket, tmp_path, monkeypatch):  # noqa: F811
    here = open_mirror("gs://bucket/run")
    assert str(store_of(here)) == "gs://bucket/run"
    (here / "samples").mkdir()
    for name in ("config.json", "samples/page.html", "train.lock", ".half"):
        (here / name).write_text(name)
    push(here)
    found = sorted(str(path.relative_to(bucket)) for path in bucket.rglob("*") if path.is_file())
    assert found == ["run/config.json", "run/samples/page.html"]
    (bucket / "run/config.json").unlink()
    push(here)  # nothing has changed here
    assert not (bucket / "run/config.json").exists()
    (here / "config.json").write_text("more")
    push(here)
    (bucket / "run/checkpoints/vae").mkdir(parents=True)
    (bucket / "run/checkpoints/vae/big").write_text("big")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    there = local_folder("gs://bucket/run")
    assert there != here
    files = {str(path.relative_to(there)): path.read_text() for path in there.rglob("*") if path.is_file()}
    assert files.pop(".store") == "gs://bucket/run"
    assert files == {"config.json": "more", "samples/page.html": "samples/page.html"}


def test_what_is_there_already_is_not_fetched_again_and_what_is_newer_in_the_store_is(bucket):  # noqa: F811
    (bucket / "data").mkdir()
    (bucket / "data/clips").write_text("1234")
    os.utime(bucket / "data/clips", (1000, 1000))
    folder = local_folder("gs://bucket/data")
    before = (folder / "clips").stat().st_ino
    fetch(folder)
    assert (folder / "clips").stat().st_ino == before
    (bucket / "data/clips").write_text("5678")
    fetch(folder)
    assert (folder / "clips").read_text() == "5678"


def test_what_the_store_has_no_more_goes_with_its_folders(bucket):  # noqa: F811
    folder = open_mirror("gs://bucket/run")
    (folder / "data/old").mkdir(parents=True)
    for name in ("data/old/clips", "config.json", "train.lock"):
        (folder / name).write_text(name)
    fetch(folder)
    assert sorted(path.name for path in folder.iterdir()) == [".store", "train.lock"]


def test_a_run_and_who_reads_it_have_mirrors_of_their_own(bucket):  # noqa: F811
    (bucket / "run").mkdir()
    (bucket / "run/metrics.jsonl").write_text("old")
    folder = open_mirror("gs://bucket/run")
    (folder / "metrics.jsonl").write_text("being written")
    assert (local_folder("gs://bucket/run") / "metrics.jsonl").read_text() == "old"
    assert (folder / "metrics.jsonl").read_text() == "being written"


def test_local_folders_are_what_they_were(tmp_path):
    assert local_folder(str(tmp_path)) == tmp_path
    assert store_of(tmp_path) is None
    push(tmp_path)
    assert [is_remote(path) for path in ("C:/runs", "motiongpt3:tiny", "s3://b/run")] == [False, False, True]


@pytest.mark.parametrize("address", ["ftp://host/run", "gs://", "hdfs://x/y"])
def test_a_store_that_is_not_known_is_one_sentence(address):
    with pytest.raises(UserError, match=r"is on no store that is known: give a local folder, or gs://BUCKET/FOLDER"):
        open_mirror(address)


def test_a_run_on_a_store_that_takes_no_checkpoints_is_one_sentence():
    with pytest.raises(UserError, match="cannot hold checkpoints: Orbax writes them to local folders and gs:// alone"):
        open_mirror("s3://bucket/run")


def test_without_its_packages_a_store_is_one_sentence_and_no_local_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    status, _, error = call("train", "--config", "motiongpt3:test", "--workdir", "gs://bucket/run")
    assert status == 2
    assert "gs://bucket/run cannot be reached from here" in error
    assert "pip install gcsfs google-cloud-storage" in error
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_a_store_has_not_is_one_sentence(bucket):  # noqa: F811
    with pytest.raises(FileNotFoundError, match="there is nothing at gs://bucket/none"):
        local_folder("gs://bucket/none")


def test_a_path_that_cannot_lie_on_a_store_is_refused():
    with pytest.raises(argparse.ArgumentTypeError, match="lies on a remote store; only --workdir of train"):
        user_path("gs://bucket/out")
    assert store_path("gs://bucket/run") == "gs://bucket/run"
