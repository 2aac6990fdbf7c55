from motiongpt3_jax.data_pipelines.procedural_pairs import generate
from motiongpt3_jax.evaluation.pair_accuracy import (
    has_roles,
    pair_caption_accuracy,
    pair_motion_accuracy,
    role_accuracy,
    says_roles,
)
from motiongpt3_jax.text.exchange_persons import exchange_caption

SAMPLES = [generate(index) for index in range(16)]
LABELS = [sample.labels for sample in SAMPLES]


def test_pairs_show_their_own_labels_and_not_others():
    pairs = [sample.joints for sample in SAMPLES]
    assert pair_motion_accuracy(pairs, LABELS).share_right > 0.9
    assert pair_motion_accuracy(pairs[::-1], LABELS).share_right < 0.3


def test_exchanged_roles_are_wrong():
    with_roles = [sample for sample in SAMPLES if has_roles(sample.labels)]
    labels = [sample.labels for sample in with_roles]
    assert 4 < len(labels) < len(SAMPLES)
    assert role_accuracy([sample.joints for sample in with_roles], labels).share_right > 0.9
    assert role_accuracy([sample.joints[::-1] for sample in with_roles], labels).share_right < 0.1


def test_a_sentence_that_does_not_say_who_is_right_with_either():
    with_roles = [sample for sample in SAMPLES if has_roles(sample.labels)]
    pairs, labels = [sample.joints[::-1] for sample in with_roles], [sample.labels for sample in with_roles]
    sentences = [sample.captions[0] for sample in with_roles]
    silent = [not says_roles(sentence) for sentence in sentences]
    assert 0 < sum(silent) < len(silent)
    assert pair_motion_accuracy(pairs, labels, sentences).right == tuple(silent)
    assert not any(pair_motion_accuracy(pairs, labels).right)


def test_captions_say_their_own_labels_and_whose_are_exchanged_do_not():
    captions = [sample.captions[0] for sample in SAMPLES]
    assert pair_caption_accuracy(captions, LABELS).share_right == 1.0
    exchanged = [exchange_caption(caption) for caption in captions]
    shares = pair_caption_accuracy(exchanged, LABELS)
    # A sentence that does not say which of them stays as it is.
    assert shares.right == tuple(new == old for new, old in zip(exchanged, captions))
