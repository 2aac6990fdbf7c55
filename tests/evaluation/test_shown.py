from motiongpt3_jax.data_pipelines.procedural import generate
from motiongpt3_jax.evaluation.shown import Share, captions_right, motions_shown, table


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


def test_a_report_gives_the_share_and_that_of_each_action():
    share = Share((True, False, True), ("walk", "walk", "jump"))
    assert share.report() == {"share_right": 0.6667, "count": 3, "by_action": {"jump": 1.0, "walk": 0.5}}
    assert "66.7 % of 3" in table({"x": share})
