from motiongpt3_jax.data_pipelines.procedural import generate
from motiongpt3_jax.evaluation.shown import (
    Share,
    captions_right,
    mirror_labels,
    motions_shown,
    names_side,
    sides_shown,
    table,
)
from motiongpt3_jax.motion import mirror, mirror_caption


def clips(count=6):
    return [generate(index) for index in range(count)]


def test_motions_show_their_own_labels_and_not_others():
    made = clips()
    joints, labels = [m.joints for m in made], [m.labels for m in made]
    assert motions_shown(joints, labels).share_right == 1.0
    assert motions_shown(joints[::-1], labels).share_right < 0.5


def test_captions_name_their_own_actions_and_not_others():
    made = clips()
    captions, labels = [m.captions[0] for m in made], [m.labels for m in made]
    assert captions_right(captions, labels).share_right == 1.0
    assert captions_right(captions[::-1], labels).share_right < 0.5
    assert captions_right(["nothing at all"] * len(labels), labels).share_right == 0.0


def sided(count=60):
    return [clip for clip in clips(count) if names_side(clip.labels)]


def test_a_caption_of_the_other_side_or_direction_is_not_right():
    made = sided()
    labels, captions = [m.labels for m in made], [m.captions[0] for m in made]
    assert len(made) > 10
    assert captions_right(captions, labels).share_right == 1.0
    assert captions_right([mirror_caption(caption) for caption in captions], labels).share_right == 0.0
    assert captions_right(["a person walks backward"], [{"actions": [action("walk", "forward")]}]).share_right == 0.0


def test_a_mirrored_motion_shows_the_other_side_alone():
    made = sided(40)
    joints, labels = [m.joints for m in made], [m.labels for m in made]
    mirrored = [mirror(motion) for motion in joints]
    twins = [mirror_labels(asked) for asked in labels]
    assert sides_shown(joints, labels).share_right == sides_shown(mirrored, twins).share_right == 1.0
    assert sides_shown(joints, twins).share_right == sides_shown(mirrored, labels).share_right == 0.0


def test_only_left_and_right_are_sides():
    assert not names_side({"actions": [action("walk", "forward"), action("clap"), action("wave", side="both")]})
    assert names_side({"actions": [action("turn", "left")]})
    assert names_side({"actions": [action("walk", "forward"), action("kick", "forward", "right")]})


def action(name, direction=None, side=None):
    return {"action": name, "direction": direction, "side": side, "count": None}


def test_a_report_gives_the_share_and_that_of_each_action():
    share = Share((True, False, True), ("walk", "walk", "jump"))
    assert share.report() == {
        "share_right": 0.6667,
        "count": 3,
        "by_action": {"jump": 1.0, "walk": 0.5},
        "counts": {"jump": 1, "walk": 2},
    }
    assert "66.7 % of 3" in table({"x": share})
