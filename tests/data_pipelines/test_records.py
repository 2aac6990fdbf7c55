import io
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from motiongpt3_jax.batch import ClipRange, Example, RowShape, Schema
from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.data_pipelines.loader import Loader, LoaderOptions
from motiongpt3_jax.data_pipelines.records import build, open_records
from motiongpt3_jax.data_pipelines.statistics import Statistics, statistics
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import HUMANML3D, KIT
from tests.motion.test_saving import full_disk

OFFSETS = np.arange(66, dtype=np.float32).reshape(22, 3)


def clips(count: int, prefix: str = "clip", width: int = 263) -> list[Clip]:
    rng = np.random.default_rng(count)
    return [
        Clip(
            id=f"{prefix}{i}",
            features=rng.normal(size=(3 + i, width)).astype(np.float32),
            captions=("she säys 你好", "he walks", "")[: i % 4],
            labels={"actions": [{"action": "walk", "count": i}]} if i % 2 else {},
        )
        for i in range(count)
    ]


def written(folder, **changes):
    splits = {"train": clips(5), "val": clips(2, "other")}
    return build(folder, **{"splits": splits, "source": "made up", "offsets": OFFSETS, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "deep" / "built"
    written(path, options={"seed": 3}, skipped=["a.npy: empty"])
    return path


@pytest.fixture
def own(tmp_path):
    """A folder that the test may damage."""
    return written(tmp_path / "built").folder


def assert_same(clip: Clip, expected: Clip):
    np.testing.assert_array_equal(clip.features, expected.features)
    assert (clip.id, clip.captions, clip.labels) == (expected.id, expected.captions, expected.labels)


def test_clips_come_back_as_they_were_in_their_order(folder):
    source = open_records(folder).split("train").source
    assert len(source) == 5
    for i, clip in enumerate(clips(5)):
        assert_same(source[i], clip)


def test_several_persons_and_named_numbers_come_back_and_reach_the_layout(tmp_path):
    first, second = (np.random.default_rng(i).normal(size=(4, 263)).astype(np.float32) for i in (0, 1))
    pair = Clip("pair", first, ("two people meet",), others=(second,), numbers={"place": (0.5, -1.0, 2.0)})
    records = written(tmp_path / "pairs", splits={"train": [pair, *clips(2)]})
    split = records.split("train")
    assert split.extras == [(2, {"place": (0.5, -1.0, 2.0)}), (1, {}), (1, {})]
    read = split.source[0]
    np.testing.assert_array_equal(read.others[0], second)
    assert (len(read.persons), read.numbers) == (2, {"place": (0.5, -1.0, 2.0)})
    options = LoaderOptions(
        seed=0, rows=1, shape=RowShape((), ((5, 3),), 3), subtasks=(("meet", 1.0),), crop=False, shuffle=True, workers=0
    )
    ones = np.ones(263, np.float32)
    loader = Loader(split.source, split.lengths, split.captions, 0 * ones, ones, Persons(), options, None, split.extras)
    samples = {sample.number: sample for sample in loader.order.table(0, 0).samples()}
    assert dict(samples[0].numbers) == {"place": (0.5, -1.0, 2.0)}
    batch = next(b for b in map(loader.batch, range(loader.steps_per_epoch)) if 0 in b.samples)
    both = [batch.clips[0][0, i, :4] for i in range(3) if batch.clip_seeds[0, i] in (0, 1) and batch.clip_frames[0, i]]
    np.testing.assert_array_equal(both, [first, second])


class Persons:
    """Every person's whole motion."""

    schema = Schema()

    def __call__(self, samples):
        return [
            Example(s.number, clips=tuple(ClipRange(0, s.frames, person) for person in range(s.persons)))
            for s in samples
        ]


def test_persons_of_other_lengths_are_refused(tmp_path):
    pair = Clip("pair", np.zeros((4, 263), np.float32), (), others=(np.zeros((3, 263), np.float32),))
    with pytest.raises(UserError, match=r"clip 'pair' of split 'train' has persons of \[4, 3\] frames; cut them alike"):
        written(tmp_path / "pairs", splits={"train": [pair]})


def test_splits_are_kept_apart(folder):
    assert [clip.id for clip in open_records(folder).split("val").source] == ["other0", "other1"]


def test_the_index_says_what_the_records_hold(folder):
    split = open_records(folder).split("train")
    assert split.lengths == [len(clip.features) for clip in clips(5)]
    assert split.captions == [clip.captions for clip in clips(5)]
    assert split.ids == [clip.id for clip in clips(5)]
    assert len(split) == 5


def test_planning_reads_no_record(own):
    for file in (own / "captioned_motions").rglob("*array_record*"):
        file.unlink()
    assert open_records(own).split("train").lengths == [3, 4, 5, 6, 7]


def test_statistics_are_those_of_the_training_clips(folder):
    expected = statistics(clip.features for clip in clips(5))
    np.testing.assert_array_equal(open_records(folder).mean, expected.mean)
    np.testing.assert_array_equal(open_records(folder).std, expected.std)


def test_given_statistics_are_kept(tmp_path):
    given = Statistics(np.full(263, 2, np.float32), np.full(263, 3, np.float32))
    records = written(tmp_path / "built", statistics=given, splits={"test": clips(1)})
    np.testing.assert_array_equal(records.mean, given.mean)
    np.testing.assert_array_equal(records.std, given.std)


def test_a_folder_says_what_it_is(folder):
    records = open_records(folder)
    assert records.metadata.source == "made up"
    assert records.metadata.options == {"seed": 3}
    assert records.metadata.skipped == ["a.npy: empty"]
    assert records.metadata.clips == {"train": 5, "val": 2}
    assert (records.skeleton, records.fps, records.splits) == (HUMANML3D, 20.0, ("train", "val"))
    np.testing.assert_array_equal(records.offsets, OFFSETS)


def test_another_skeleton_has_its_own_width_and_fps(tmp_path):
    records = written(tmp_path / "kit", splits={"train": clips(1, width=251)}, skeleton=KIT, offsets=OFFSETS[:21])
    assert (records.skeleton, records.fps, records.mean.shape) == (KIT, 12.5, (251,))


def test_a_split_travels_to_other_processes_before_and_after_it_was_read(folder):
    split = open_records(folder).split("train")
    assert_same(pickle.loads(pickle.dumps(split)).source[4], clips(5)[4])
    assert_same(split.source[4], clips(5)[4])
    assert_same(pickle.loads(pickle.dumps(split)).source[-1], clips(5)[4])


def test_an_index_past_the_end_is_an_error(folder):
    with pytest.raises(IndexError, match="clip 5 of 5"):
        open_records(folder).split("train").source[5]


def test_a_folder_can_be_moved(own, tmp_path):
    os.rename(own, tmp_path / "elsewhere")
    assert_same(open_records(tmp_path / "elsewhere").split("train").source[1], clips(5)[1])


def test_nothing_but_the_folder_is_left(own):
    assert os.listdir(own.parent) == ["built"]
    assert sorted(os.listdir(own)) == sorted(
        ["captioned_motions", "index_train.json", "index_val.json", "metadata.json", "statistics.npz"]
    )


def test_tensorflow_is_not_needed(folder, tmp_path):
    code = f"""
import sys
from tests.data_pipelines.test_records import clips, written
from motiongpt3_jax.data_pipelines.records import open_records
written({str(tmp_path / "new")!r})
assert open_records({str(folder)!r}).split("train").source[2].id == "clip2"
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["train", "val"])
def test_an_interrupted_build_leaves_nothing(tmp_path, name):
    def torn() -> Iterator[Clip]:
        yield from clips(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "built", splits={"train": clips(5), name: torn()})
    assert os.listdir(tmp_path) == []


def test_a_killed_build_leaves_nothing_that_opens(tmp_path):
    code = f"""
import os, signal
from tests.data_pipelines.test_records import clips, written
def killed():
    yield from clips(2)
    os.kill(os.getpid(), signal.SIGKILL)
written({str(tmp_path / "built")!r}, splits={{"train": killed()}})
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    for folder in [tmp_path / "built", *tmp_path.iterdir()]:
        with pytest.raises(FileNotFoundError):
            open_records(folder)
    assert_same(written(tmp_path / "built").split("train").source[0], clips(5)[0])


def test_a_folder_with_something_in_it_is_not_touched(own):
    with pytest.raises(FileExistsError, match="exists already; remove it"):
        written(own)
    assert len(open_records(own).split("train").source) == 5


def test_an_empty_folder_may_be_built_into(tmp_path):
    assert written(tmp_path).splits == ("train", "val")


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": []}, "split 'train' has no clips"),
        ({"train": clips(1), "val": iter(())}, "split 'val' has no clips"),
        ({"val": clips(1)}, "measured on split 'train', and there is none"),
        ({"train": clips(1, width=4)}, r"clip 'clip0' of split 'train' has features of shape \(3, 4\)"),
        ({"train": [Clip("a", np.zeros((0, 263)), ())]}, r"shape \(0, 263\)"),
        ({"train": [Clip("a", np.full((1, 263), np.nan), ())]}, "not finite"),
        ({"train": [Clip("a", np.full((1, 263), 1e20), ())]}, r"clip 'a' of split 'train' has features up to 1e\+20"),
        ({"train": [*clips(1), *clips(1)]}, "comes twice"),
    ],
)
def test_what_is_no_clip_is_an_error_and_leaves_nothing(tmp_path, splits, message):
    with pytest.raises(ValueError, match=message):
        written(tmp_path / "built", splits=splits)
    assert os.listdir(tmp_path) == []


def test_an_unknown_split_is_an_error_that_names_the_known(folder):
    with pytest.raises(ValueError, match="has no split 'test'; it has train, val"):
        open_records(folder).split("test")


def test_a_missing_folder_says_how_to_build_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder '.*nowhere'; build it with `motiongpt3 data build`"):
        open_records(tmp_path / "nowhere")


def test_a_folder_of_something_else_is_not_opened(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no built clips"):
        open_records(tmp_path)


def arrays(**changes) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{"mean": np.zeros(263), "std": np.ones(263), "offsets": OFFSETS, **changes})
    return file.getvalue()


def metadata(**changes) -> bytes:
    said = {"source": "s", "skeleton": "humanml3d", "fps": 20.0, "features": 263, "clips": {"train": 5}}
    return json.dumps({**said, "options": {}, "skipped": [], "format": 1, **changes}).encode()


def index(**changes) -> bytes:
    columns = {"ids": list("abcde"), "frames": [3] * 5, "captions": [["walks"]] * 5}
    return json.dumps({**columns, **changes}).encode()


DAMAGED = [
    ("metadata.json", b"{", "metadata.json' cannot be read"),
    ("metadata.json", b"[" * 100_000, "metadata.json' cannot be read"),
    ("metadata.json", b"[]", "has format None; this version reads 1"),
    ("metadata.json", b'{"format": 9}', "has format 9; this version reads 1"),
    ("metadata.json", b'{"format": 1}', "is damaged"),
    ("metadata.json", metadata(skeleton="snake"), "skeleton 'snake'; known are humanml3d, kit"),
    ("metadata.json", metadata(skeleton=["kit"]), "skeleton '.'kit'.'; known are"),
    ("metadata.json", metadata(features=251), "says 251 features"),
    ("metadata.json", metadata(fps=0), "says 0 frames a second"),
    ("metadata.json", metadata(fps="20"), "says '20' frames a second"),
    ("metadata.json", metadata(clips=[5]), r"its clips are \[5\]"),
    ("metadata.json", metadata(clips={"train": "5"}), "its clips are {'train': '5'}"),
    ("metadata.json", metadata(clips={}), "its clips are {}"),
    ("statistics.npz", b"nothing", "is damaged"),
    ("statistics.npz", arrays(std=np.ones(262)), r"'std' has shape \(262,\), expected \(263,\)"),
    ("statistics.npz", arrays(std=np.zeros(263)), "'std' has values that are not positive"),
    ("statistics.npz", arrays(mean=np.full(263, np.nan)), "not finite"),
    ("statistics.npz", arrays(mean=np.full(263, 1e20)), r"has features up to 1e\+20"),
    ("statistics.npz", arrays(offsets=np.array(["x"])), "holds <U1 values"),
    ("statistics.npz", arrays(offsets=np.array([{}])), "pickled Python objects"),
    ("index_train.json", b"", "index_train.json' cannot be read"),
    ("index_train.json", b"{}", "does not list 5 clips"),
    ("index_train.json", b"[]", "does not list 5 clips"),
    ("index_train.json", index(ids=5), "does not list 5 clips under 'ids'"),
    ("index_train.json", index(ids="abcde"), "does not list 5 clips under 'ids'"),
    ("index_train.json", index(ids=["a", 1, "c", "d", "e"]), "'ids' of clip 1 is 1"),
    ("index_train.json", index(frames=[3, 3, "3", 3, 3]), "'frames' of clip 2 is '3'"),
    ("index_train.json", index(frames=[3, 3, -3, 3, 3]), "'frames' of clip 2 is -3"),
    ("index_train.json", index(frames=[3, 3, True, 3, 3]), "'frames' of clip 2 is True"),
    ("index_train.json", index(captions=["walks"] * 5), "'captions' of clip 0 is 'walks'"),
    ("index_train.json", index(captions=[[None]] * 5), r"'captions' of clip 0 is \[None\]"),
]


@pytest.mark.parametrize(("file", "content", "message"), DAMAGED)
def test_a_damaged_file_is_named(own, file, content, message):
    (own / file).write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        open_records(own).split("train")
    assert str(own) in str(error.value)


def shard(folder, split="train"):
    return next((folder / "captioned_motions").rglob(f"*-{split}.array_record*"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"nothing" * 100),
        lambda path: path.write_bytes(path.read_bytes()[:-200]),
        lambda path: path.write_bytes(path.read_bytes()[:200]),
        lambda path: path.write_bytes(flipped(path.read_bytes())),
    ],
    ids=["gone", "empty", "of something else", "cut", "cut early", "flipped"],
)
def test_damaged_records_are_named_with_what_to_do(own, damage):
    damage(shard(own))
    with pytest.raises(ValueError, match=r"built.* cannot be read|has no records that can be read") as error:
        list(open_records(own).split("train").source)
    assert str(error.value).endswith("build it with `motiongpt3 data build` anew.")
    assert "\n" not in str(error.value)


def flipped(content: bytes) -> bytes:
    """With a byte of its numbers changed."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


@pytest.mark.parametrize("file", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"name": 3}', b'{"splits": [{"name": 5}]}', b"{}", b"null"])
def test_damaged_metadata_of_the_records_is_named(own, file, content):
    next(own.rglob(file)).write_bytes(content)
    with pytest.raises(ValueError, match=r"has no records that can be read|cannot be read|an index of 5"):
        list(open_records(own).split("train").source)


def test_a_full_disk_is_said_with_the_folder_and_leaves_nothing(tmp_path):
    for size in (0, 3000):
        with pytest.raises(OSError, match=r"cannot write '.*built': File too large"), full_disk(size):
            written(tmp_path / "built")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["statistics.npz", "index_train.json"])
def test_a_file_that_went_missing_is_an_error(own, file):
    (own / file).unlink()
    with pytest.raises(ValueError, match=file):
        open_records(own).split("train")


def test_records_that_went_missing_are_an_error(own):
    for file in (own / "captioned_motions").rglob("*"):
        if file.is_file():
            file.unlink()
    with pytest.raises(ValueError, match="has no records"):
        open_records(own).split("train").source[0]


def test_records_of_another_build_are_an_error(own, tmp_path):
    other = written(tmp_path / "other", splits={"train": clips(2), "val": clips(2)}).folder
    os.rename(own / "captioned_motions", tmp_path / "away")
    os.rename(other / "captioned_motions", own / "captioned_motions")
    with pytest.raises(ValueError, match="2 records of split 'train' and an index of 5"):
        open_records(own).split("train").source[0]
