"""What arrays of other tools hold, and what none can: read with a note, or refused in a sentence."""

import numpy as np
import pytest

from motiongpt3_jax.motion import HUMANML3D, KIT, joints_to_features, read_motion
from motiongpt3_jax.motion.arrays import UnreadableArrayError
from motiongpt3_jax.motion.interpret import check_magnitude, interpret_array
from tests.motion.samples import dance


def saved(path, array):
    np.save(path, array) if path.suffix == ".npy" else np.savez(path, joints=array)
    return path


@pytest.mark.parametrize("name", ["walk.npy", "walk.npz"])
@pytest.mark.parametrize("batch", [(), (1,)])
def test_frames_that_come_last_are_read_and_said(tmp_path, name, batch):
    joints = dance(frames=30)
    path = saved(tmp_path / name, joints.transpose(1, 2, 0).reshape(*batch, 22, 3, 30))
    motion, notes = read_motion(path)
    np.testing.assert_array_equal(motion.joints[0], joints.astype(np.float32))
    assert notes[0] == f"its shape {(*batch, 22, 3, 30)} is read as (joints, 3, frames), as MDM writes it"


def test_frames_that_come_last_are_read_of_every_skeleton():
    joints = dance(KIT, frames=3) * 640
    content = interpret_array(joints.transpose(1, 2, 0))
    np.testing.assert_allclose(content.joints[0], joints / 640, rtol=1e-6)
    assert content.skeleton == KIT


def test_three_frames_last_are_no_three_joints():
    joints = dance(frames=3)
    np.testing.assert_array_equal(interpret_array(joints.transpose(1, 2, 0)).joints[0], joints.astype(np.float32))
    np.testing.assert_array_equal(interpret_array(joints).joints[0], joints.astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "what", "advice"),
    [
        ((4, 22, 3, 30), r"a batch of 4 motions with the frames last", r"the first as array\[0\].transpose\(2, 0, 1\)"),
        ((1, 263, 1, 30), r"\(1, 263, 1, 30\)", r"features as MDM has them.*as array\[0, :, 0\].T"),
    ],
)
def test_batches_of_mdm_are_refused_with_what_to_save(shape, what, advice):
    with pytest.raises(UnreadableArrayError, match=what) as error:
        interpret_array(np.ones(shape))
    with pytest.raises(ValueError, match=advice):
        raise ValueError(error.value.advice)


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((3, 22, 30), "save array.transpose(2, 1, 0)."),
        ((30, 3, 22), "save array.transpose(0, 2, 1)."),
        ((3, 30, 22), "save array.transpose(1, 2, 0)."),
        ((22, 30, 3), "save array.transpose(1, 0, 2)."),
        ((4, 22, 30, 3), "save array[0].transpose(1, 0, 2)."),
        ((24, 3, 30), "The frames come last, as MDM writes them: save array.transpose(2, 0, 1)[:, :22]."),
        ((21, 30, 3), "save array.transpose(1, 0, 2)."),
        ((66, 30), "save array.T.reshape(-1, 22, 3)"),
        ((1, 30, 66), "save array.squeeze().reshape(-1, 22, 3)"),
        ((1, 30, 22, 3, 1), "save array.squeeze()."),
        ((1, 263, 30), "save array.squeeze().T."),
        ((263, 1, 30), "save array.squeeze().T."),
    ],
)
def test_the_axes_of_other_tools_are_refused_with_a_call_that_puts_them_right(shape, advice):
    with pytest.raises(UnreadableArrayError) as error:
        interpret_array(np.ones(shape, np.float32))
    assert advice in error.value.advice
    array = eval(advice.partition("save ")[2].rstrip("."), {"array": np.ones(shape)})
    assert array.shape in ((30, 22, 3), (30, 21, 3), (30, 263))


def test_more_persons_than_frames_are_said(tmp_path):
    joints = dance(frames=5, people=(2,)).astype(np.float32)
    assert interpret_array(joints).notes == ()
    (note,) = interpret_array(joints.swapaxes(0, 1)).notes
    assert note == (
        "its shape (5, 2, 22, 3) is read as (persons, frames, joints, 3): if the frames come before the persons, save "
        "array.swapaxes(0, 1)"
    )


PADDED = {
    "after": (slice(6, 9), slice(0, 6), "frames 6 to 8 of 9"),
    "before": (slice(0, 1), slice(1, 9), "frame 0 of 9"),
    "both": ([0, 1, 8], slice(2, 8), "frames 0 to 1 and frame 8 of 9"),
}


@pytest.mark.parametrize("name", ["walk.npy", "walk.npz"])
@pytest.mark.parametrize(("where", "left", "frames"), PADDED.values(), ids=PADDED)
def test_frames_without_a_body_are_cut_and_said(tmp_path, name, where, left, frames):
    joints = dance().astype(np.float32)
    joints[where] = 0
    motion, notes = read_motion(saved(tmp_path / name, joints))
    np.testing.assert_array_equal(motion.joints[0], joints[left])
    assert notes == (f"there is no body in {frames}, which are left out as padding",)


def test_padding_need_not_be_zero():
    joints = dance().astype(np.float32)
    joints[5:] = joints[4, :1]
    assert interpret_array(joints).joints.shape == (1, 5, 22, 3)


def test_rows_of_features_without_a_body_are_cut_too():
    raw = joints_to_features(dance(frames=12))
    padded = np.concatenate([raw, np.zeros((20, 263), np.float32)])
    content = interpret_array(padded)
    np.testing.assert_array_equal(content.features, raw)
    assert content.left_out == "frames 11 to 30 of 31"
    mean, std = raw.mean(axis=0), np.maximum(raw.std(axis=0), 0.01)
    normalised = np.concatenate([(raw - mean) / std, np.zeros((20, 263), np.float32)])
    np.testing.assert_allclose(interpret_array(normalised, (mean, std)).features, raw, atol=1e-5)


@pytest.mark.parametrize(
    ("persons", "frames", "message"),
    [
        (1, slice(3, 5), "has frames in which there is no body, the first is 3: all joints lie at one point"),
        (2, slice(6, 9), "has frames in which person 2 has no body, the first is 6"),
        (2, slice(0, 9), "person 2 has no body, the first is 0"),
    ],
)
def test_frames_that_cannot_be_cut_are_refused(persons, frames, message):
    joints = dance(people=(persons,))
    joints[-1, frames] = 1.5
    with pytest.raises(UnreadableArrayError, match=message):
        interpret_array(joints)


@pytest.mark.parametrize("array", [np.zeros((9, 22, 3)), np.ones((2, 9, 22, 3)), np.zeros((9, 263))])
def test_what_shows_no_body_at_all_is_refused(array):
    with pytest.raises(UnreadableArrayError, match="shows no body in any of its 9 frames"):
        interpret_array(array)


def test_joints_where_nobody_can_be_are_refused(tmp_path):
    for name in ("walk.npy", "walk.npz"):
        path = saved(tmp_path / name, dance() * 1e20)
        with pytest.raises(
            ValueError, match=rf"{name}' has joints up to .*e\+20 from the origin; give joints in metres"
        ):
            read_motion(path)


@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT])
@pytest.mark.parametrize("column", [1, 3, -8])
def test_features_that_no_body_has_are_refused(skeleton, column):
    raw = joints_to_features(dance(skeleton, frames=12), skeleton)
    raw[4, column] = 1e20
    with pytest.raises(
        UnreadableArrayError, match=rf"features up to 1e\+20, the first at index \(4, {column % raw.shape[1]}\)"
    ):
        interpret_array(raw)


def test_magnitudes_of_bodies_pass():
    for skeleton in (HUMANML3D, KIT):
        check_magnitude(joints_to_features(dance(skeleton, frames=60), skeleton), skeleton)
