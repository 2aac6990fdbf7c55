import contextlib
import resource

import pytest

from motiongpt3_jax.motion import Motion
from motiongpt3_jax.motion.saving import paths_per_person, whole_file
from motiongpt3_jax.motion.write_kind import WRITERS, write_kind
from tests.motion.samples import dance


@contextlib.contextmanager
def full_disk(size: int = 100):
    """Lets files grow to `size` bytes, as on a disk that has no more room."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


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


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("size", [0, 3000])
def test_a_full_disk_is_said_with_the_file_in_one_line_and_leaves_nothing(tmp_path, kind, size):
    motion = Motion(dance(frames=40)[None])
    with pytest.raises(OSError, match=rf"cannot write '.*walk\..*{kind}") as error, full_disk(size):
        write_kind(tmp_path, "walk", motion, kind)
    assert "\n" not in str(error.value)
    assert "requested" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_errors_about_other_files_stay_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"font\.ttf"), whole_file(tmp_path / "a.gif", ".gif"):
        (tmp_path / "font.ttf").read_bytes()


def test_another_ending_is_named_in_one_sentence(tmp_path):
    with (
        pytest.raises(ValueError, match=r"what is written is a \.gif file; name it 'a\.gif'"),
        whole_file("a.png", ".gif"),
    ):
        pass


def test_persons_of_files_of_one_person_are_numbered_before_the_ending():
    assert [path.name for path in paths_per_person("out/a.b.amass.npz", ".amass.npz", 1)] == ["a.b.amass.npz"]
    names = [str(path) for path in paths_per_person("out/a.b.amass.npz", ".amass.npz", 2)]
    assert names == ["out/a.b_1.amass.npz", "out/a.b_2.amass.npz"]
    assert [path.name for path in paths_per_person("walk.BVH", ".bvh", 2)] == ["walk_1.bvh", "walk_2.bvh"]


@pytest.mark.parametrize("persons", [1, 2])
def test_files_of_several_persons_must_have_the_ending_too(persons):
    with pytest.raises(ValueError, match=r"name it 'walk\.bvh'"):
        paths_per_person("out/walk.fbx", ".bvh", persons)
