from motiongpt3_jax.data_pipelines.procedural import generate
from motiongpt3_jax.evaluation.accuracy import (
    Accuracy,
    caption_accuracy,
    has_side,
    mirror_labels,
    motion_accuracy,
    side_accuracy,
    table,
)
from motiongpt3_jax.motion import mirror, mirror_caption


def clips(count=6):
    return [generate(index) for index in range(count)]


def test_motions_show_their_own_labels_and_not_others():
    samples = clips()
    joints = [clip.joints for clip in samples]
    labels = [clip.labels for clip in samples]
    assert motion_accuracy(joints, labels).share_right == 1.0
    assert motion_accuracy(joints[::-1], labels).share_right < 0.5


def test_captions_name_their_own_actions_and_not_others():
    samples = clips()
    captions = [clip.captions[0] for clip in samples]
    labels = [clip.labels for clip in samples]
    assert caption_accuracy(captions, labels).share_right == 1.0
    assert caption_accuracy(captions[::-1], labels).share_right < 0.5
    assert caption_accuracy(["nothing at all"] * len(labels), labels).share_right == 0.0


def sided(count=60):
    return [clip for clip in clips(count) if has_side(clip.labels)]


def test_a_caption_of_the_other_side_or_direction_is_not_right():
    samples = sided()
    labels = [clip.labels for clip in samples]
    captions = [clip.captions[0] for clip in samples]
    assert len(samples) > 10
    assert caption_accuracy(captions, labels).share_right == 1.0
    assert caption_accuracy([mirror_caption(caption) for caption in captions], labels).share_right == 0.0
    assert caption_accuracy(["a person walks backward"], [{"actions": [action("walk", "forward")]}]).share_right == 0.0


def test_a_mirrored_motion_shows_the_other_side_alone():
    samples = sided(40)
    joints = [clip.joints for clip in samples]
    labels = [clip.labels for clip in samples]
    mirrored = [mirror(motion) for motion in joints]
    twins = [mirror_labels(label) for label in labels]
    assert side_accuracy(joints, labels).share_right == side_accuracy(mirrored, twins).share_right == 1.0
    assert side_accuracy(joints, twins).share_right == side_accuracy(mirrored, labels).share_right == 0.0


def test_only_left_and_right_are_sides():
    assert not has_side({"actions": [action("walk", "forward"), action("clap"), action("wave", side="both")]})
    assert has_side({"actions": [action("turn", "left")]})
    assert has_side({"actions": [action("walk", "forward"), action("kick", "forward", "right")]})


def action(name, direction=None, side=None):
    return {"action": name, "direction": direction, "side": side, "count": None}


def test_a_report_gives_the_share_and_that_of_each_action():
    share = Accuracy((True, False, True), ("walk", "walk", "jump"))
    assert share.report() == {
        "share_right": 0.6667,
        "count": 3,
        "by_action": {"jump": 1.0, "walk": 0.5},
        "counts": {"jump": 1, "walk": 2},
    }
    assert "66.7 % of 3" in table({"x": share})
