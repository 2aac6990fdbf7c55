import contextlib

import pytest

from motiongpt3_jax.motion.pictures.saving import whole_file


def test_a_file_appears_whole(tmp_path):
    with whole_file(tmp_path / "new" / "a.gif", ".gif") as file:
        file.write_bytes(b"abc")
        assert not (tmp_path / "new" / "a.gif").exists()
    assert [f.name for f in (tmp_path / "new").iterdir()] == ["a.gif"]


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"old")
    with contextlib.suppress(RuntimeError), whole_file(tmp_path / "a.gif", ".gif") as file:
        file.write_bytes(b"half")
        raise RuntimeError
    assert [(f.name, f.read_bytes()) for f in tmp_path.iterdir()] == [("a.gif", b"old")]


def test_another_ending_is_named_in_one_sentence(tmp_path):
    with (
        pytest.raises(ValueError, match=r"this picture is a \.gif file; name it 'a\.gif'"),
        whole_file("a.png", ".gif"),
    ):
        pass
