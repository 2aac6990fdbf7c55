"""What the demo measures of a model of two people."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from motiongpt3_jax.data_pipelines.clip import PLACE, Clip
from motiongpt3_jax.data_pipelines.pairs import clip_motion
from motiongpt3_jax.evaluation.accuracy import Accuracy
from motiongpt3_jax.evaluation.pair_accuracy import (
    Pair,
    has_roles,
    pair_caption_accuracy,
    pair_motion_accuracy,
    role_accuracy,
    says_roles,
)
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.inference.pairs import react_to_clips
from motiongpt3_jax.motion import Motion, join_pair

PAIR_NAMES = {
    "reader_on_ground_truth": "the reader on recorded pairs",
    "reconstruction": "both through the encoder and back",
    "text_to_motion": "pairs from held-out sentences",
    "roles": "who does it to whom, where the sentence says it",
    "reaction": "second people, to a recorded first one and a sentence",
    "captioning": "captions of held-out pairs",
}
"""What is measured, in words."""


def measure_pairs(
    model: Model, clips: Sequence[Clip], options: Any
) -> tuple[dict[str, Accuracy], list[Motion], list[str]]:
    """(shares by name, generated motions, captions) over held-out clips of two people."""
    labels = [clip.labels for clip in clips]
    sentences = [clip.captions[0] for clip in clips]
    lengths = [len(clip.features) for clip in clips] if model.engine.answers.capabilities.takes_length else None
    motions = model.generate(sentences, frames=lengths, persons=2, **asdict(options))
    reactions = react_to_clips(model.engine, model.prompts, clips, sentences, 0, options)
    captions = model.caption_pairs(clips)
    pairs = [motion.joints for motion in motions]
    with_roles = [i for i, label in enumerate(labels) if has_roles(label) and says_roles(sentences[i])]
    shares = {
        "reader_on_ground_truth": pair_motion_accuracy([clip_motion(c, model.skeleton).joints for c in clips], labels),
        "reconstruction": pair_motion_accuracy(reconstruct_pairs(model, clips), labels),
        "text_to_motion": pair_motion_accuracy(pairs, labels, sentences),
        "roles": role_accuracy([pairs[i] for i in with_roles], [labels[i] for i in with_roles]),
        "reaction": pair_motion_accuracy([motion.joints for motion in reactions], labels),
        "captioning": pair_caption_accuracy(captions, labels),
    }
    return shares, motions, captions


def reconstruct_pairs(model: Model, clips: Sequence[Clip]) -> list[Pair]:
    """Both people of each clip through the encoder and back, at their place."""
    joints = model.engine.reconstruct([person for clip in clips for person in clip.persons])
    pairs = [np.stack(joints[i : i + 2]) for i in range(0, len(joints), 2)]
    return [join_pair(pair, clip.numbers[PLACE][:3], skeleton=model.skeleton) for pair, clip in zip(pairs, clips)]
