"""BVH text as tools, editors and people leave it."""

import re
import time

import numpy as np
import pytest

from motiongpt3_jax.motion.bvh_read import read_bvh
from tests.motion.bvh_files import standing, still, tree_of, write


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "a.bvh", tree_of(), [still(tree_of())] * 2)


def rewritten(file, old, new, count=-1):
    file.write_text(file.read_text().replace(old, new, count))
    return file


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_texts_of_windows_editors_are_read(file, encoding):
    file.write_bytes(file.read_text().encode(encoding))
    np.testing.assert_allclose(read_bvh(file)[0].joints[0, 1], standing(), atol=1e-5)


@pytest.mark.parametrize("comment", ["# from our studio\n# take 3\n", "// take 3\n\n", "Exported by Tool 1.2\n"])
def test_lines_before_the_hierarchy_are_skipped_and_said(file, comment):
    file.write_text(comment + file.read_text())
    motion, notes = read_bvh(file)
    np.testing.assert_allclose(motion.joints[0, 1], standing(), atol=1e-5)
    assert f"{len(comment.strip().splitlines())} lines before HIERARCHY are skipped" in notes


@pytest.mark.parametrize("comment", ["# left leg", "// left leg", "; left leg"])
def test_comments_between_joints_are_skipped(file, comment):
    motion, _ = read_bvh(rewritten(file, "JOINT left_hip", f"{comment}\nJOINT left_hip", 1))
    np.testing.assert_allclose(motion.joints[0, 1], standing(), atol=1e-5)


SCALES = "Xscale Yscale Zscale"


def with_scales(text: str, first: int, last: int, before: bool, scale: float) -> str:
    """A file's text with scale channels for the joints from the first to the last, before or after their others."""
    lines, column, places = [], 0, []
    for number, line in enumerate(re.split(r"(?=CHANNELS \d[^\n]*\n)", text)):
        match = re.match(r"CHANNELS (\d) ([^\n]*)\n", line)
        if match and first < number <= last + 1:
            count, names = int(match[1]), match[2]
            places.append(column + (0 if before else count))
            names = f"{SCALES} {names}" if before else f"{names} {SCALES}"
            line = f"CHANNELS {count + 3} {names}\n" + line[match.end() :]
        column += int(match[1]) if match else 0
        lines.append(line)
    head, rows = re.split(r"(?<=Frame Time: 0.05\n)", "".join(lines))
    rows = [np.insert(np.array(row.split(), float), np.repeat(places, 3), scale) for row in rows.splitlines()]
    return head + "".join(" ".join(f"{value:g}" for value in row) + "\n" for row in rows)


@pytest.mark.parametrize(("first", "last"), [(0, 0), (0, 21), (3, 9), (21, 21)], ids=["root", "all", "some", "last"])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("scale", [1, 2.5])
def test_scale_channels_are_passed_over_and_said(file, first, last, before, scale):
    file.write_text(with_scales(file.read_text(), first, last, before, scale))
    assert file.read_text().count("scale") == 3 * (last - first + 1)
    motion, notes = read_bvh(file)
    np.testing.assert_allclose(motion.joints[0, 1], standing(), atol=1e-5)
    assert "scale channels are not read: bones keep the lengths of their OFFSET lines" in notes


def test_a_word_that_is_no_channel_is_named(file):
    with pytest.raises(ValueError, match=r"line 5: 6 channels are promised and 3 named; after them stands 'Wrotation'"):
        read_bvh(rewritten(file, "Zrotation", "Wrotation", 1))


@pytest.mark.parametrize(
    ("old", "new", "number"),
    [
        ("OFFSET 0.100000 ", "OFFSET 0,100000 ", "line 8: 'OFFSET 0,100000 -0.050000 0.000000' has"),
        ("OFFSET 0.100000 -0.050000 ", "OFFSET 0.100000, -0.050000, ", "'OFFSET 0.100000, -0.050000, 0.000000' has"),
        ("0.930000 ", "0,930000 ", "'0,930000' has"),
        ("0.930000 ", "0.930000, ", "'0.930000,' has"),
        ("OFFSET 0.100000 -0.050000 0.000000", "OFFSET 0.1,-0.05,0", "'OFFSET 0.1,-0.05,0' has"),
        ("Frame Time: 0.05", "Frame Time: 0,05", r"frame time '0,05'; expected .* .with a point, not a"),
    ],
)
def test_commas_in_numbers_are_named(file, old, new, number):
    with pytest.raises(ValueError, match=rf"{number}.*comma"):
        read_bvh(rewritten(file, old, new, 1))


@pytest.mark.parametrize(
    ("time", "fps", "note"),
    [
        ("30", 30, "the frame time 30 is taken for frames a second: no frame lasts 30 s"),
        ("120.0", 120, "the frame time 120.0 is taken for frames a second: no frame lasts 120 s"),
        ("29.97", 29.97, "the frame time 29.97 is taken for frames a second: no frame lasts 29.97 s"),
        ("25", 25, "the frame time 25 is taken for frames a second: no frame lasts 25 s"),
        ("33", 30, "the frame time 33 is taken for milliseconds: no frame lasts 33 s"),
        ("16.67", 60, "the frame time 16.67 is taken for milliseconds: no frame lasts 16.67 s"),
        ("33.3333", 30, "the frame time 33.3333 is taken for milliseconds: no frame lasts 33.3333 s"),
        ("8.33333", 120, "the frame time 8.33333 is taken for milliseconds: no frame lasts 8.33333 s"),
        ("2", 0.5, "frames last 2 s each, as its frame time says"),
    ],
)
def test_frame_times_that_no_frame_lasts_are_rates_or_milliseconds_and_said(file, time, fps, note):
    motion, notes = read_bvh(rewritten(file, "Time: 0.05", f"Time: {time}"))
    assert motion.fps == fps
    assert note in notes


@pytest.mark.parametrize("time", ["1e-320", "0.00000001", "1e400", "-0.05", "7777", "half"])
def test_frame_times_that_mean_nothing_are_refused(file, time):
    with pytest.raises(ValueError, match=rf"frame time '{time}'; expected the seconds of a frame"):
        read_bvh(rewritten(file, "Time: 0.05", f"Time: {time}"))


def test_a_pointer_of_git_lfs_is_called_one(file):
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ad5a\nsize 343982\n")
    with pytest.raises(ValueError, match=r"a.bvh' is a Git LFS pointer.*git lfs pull"):
        read_bvh(file)


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"Kaydara FBX Binary  \0\x1a\0", "an FBX file"), (b"\x93NUMPY\x01\0", "a .npy array"), (b"glTF\2\0", "a glTF")],
)
def test_other_files_under_the_name_bvh_are_called_what_they_are(file, content, kind):
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"a.bvh' is {kind}.* under the name .bvh.*export it as BVH"):
        read_bvh(file)


@pytest.mark.parametrize(
    ("content", "begins"),
    [
        (b"404: Not Found", "begins with '404: Not Found'"),
        (b'\n{"message": "Not Found"}', """begins with '{"message": "Not Found"}'"""),
        (b":bones\n:root\n", r"begins with ':bones\n:root'"),
        (b"", "is empty"),
        (b" \n", "is empty"),
    ],
)
def test_what_a_file_that_is_no_bvh_begins_with_is_said(file, content, begins):
    file.write_bytes(content)
    message = f"has no line HIERARCHY, so it is no BVH file; it {begins}: export it as BVH"
    with pytest.raises(ValueError, match=re.escape(message)):
        read_bvh(file)


@pytest.mark.parametrize("number", ["1e999", "-1e200", "1e13"])
def test_numbers_beyond_all_measure_are_named(file, number):
    text = file.read_text()
    with pytest.raises(ValueError, match="line 8: an OFFSET is too large"):
        read_bvh(rewritten(file, "OFFSET 0.100000 ", f"OFFSET {number} ", 1))
    file.write_text(text)
    with pytest.raises(ValueError, match="not finite or too large, the first in frame 0"):
        read_bvh(rewritten(file, "0.930000 ", f"{number} ", 1))


@pytest.mark.parametrize(
    "text",
    [
        "HIERARCHY\nROOT" + " " * 200_000 + "x",
        "HIERARCHY\nROOT a" + " \n" * 100_000 + "x",
        "HIERARCHY\nROOT a\n{\nOFFSET " + "1" * 200_000 + "x",
        "HIERARCHY\nROOT a\n{\nEnd" + " " * 200_000 + "x",
        "HIERARCHY\nROOT a\n{\nCHANNELS 6" + " Xposition" * 20_000 + "x",
        "HIERARCHY" + " " * 200_000 + "x",
        " " * 200_000 + "\n" * 100_000,
        "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\n}\nMOTION\nFrames: 1" + " " * 200_000 + "x",
    ],
)
def test_long_lines_take_time_in_proportion_to_their_length(file, text):
    file.write_text(text)
    began = time.process_time()
    with pytest.raises(ValueError, match=r"a\.bvh'"):
        read_bvh(file)
    assert time.process_time() - began < 2
