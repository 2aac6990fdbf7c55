"""The end-to-end demo: makes its data, trains every stage, answers, and measures the answers."""

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from motiongpt3_jax.commands.arguments import (
    add_sampling,
    check_answers,
    command_parser,
    integer,
    keep_compiled_programs,
    sampling,
    user_path,
)
from motiongpt3_jax.commands.demo_pairs import PAIR_NAMES, measure_pairs
from motiongpt3_jax.commands.training import exit_as_training_ends
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.data_pipelines.pairs import clip_motion
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.evaluation.accuracy import (
    Accuracy,
    caption_accuracy,
    has_side,
    mirror_labels,
    motion_accuracy,
    side_accuracy,
    table,
)
from motiongpt3_jax.experiment.run import check_run
from motiongpt3_jax.experiment.train import train
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.motion import Motion, clean_feet, features_to_joints, mirror_caption, skating
from motiongpt3_jax.motion.pictures import Entry, write_page
from motiongpt3_jax.statuses import status_lines
from motiongpt3_jax.systems.interface import Features

NAMES = {
    "reader_on_ground_truth": "the reader on recorded motions",
    "reconstruction": "motions through the encoder and back",
    "text_to_motion": "motions from held-out sentences",
    "sides": "the asked side, of sentences and their mirrored twins",
    "captioning": "captions of held-out motions",
}
WALKS = ("walk", "run", "crouch-walk", "side-step")
"""Actions whose feet are measured: they step, and should stand still in between."""

SAMPLING = {"guidance_scale": 1.5}
"""Options that fit the demo's plain sentences, of systems that have them."""

GENERATED = "Motions generated from held-out sentences"
CAPTIONED = "Held-out motions, captioned by the model"


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = command_parser(
        "demo",
        "Makes captioned motions, trains every stage on them, generates and captions, and measures both.",
        "motiongpt3 demo --out runs/demo",
        overrides=True,
        end=status_lines(),
    )
    parser.add_argument(
        "--out", type=user_path, default="runs/demo", metavar="RUN", help="folder of the run (default: runs/demo)"
    )
    parser.add_argument(
        "--config", type=user_path, default="motiongpt3:demo", help="config to train (default: motiongpt3:demo)"
    )
    parser.add_argument(
        "--seeds",
        type=integer,
        nargs="+",
        metavar="SEED",
        help="one run for each seed, in RUN/seed_SEED, then the worst and the middle of them",
    )
    parser.add_argument("--count", type=integer, default=400, help="held-out clips to measure on (default: 400)")
    add_sampling(parser)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Trains what is not trained yet, then measures and shows."""
    if arguments.count < 1:
        raise UserError(f"--count {arguments.count}: measure on at least one clip")
    keep_compiled_programs()
    check_answers(arguments)  # said before minutes of training
    config = load_config(arguments.config, arguments.overrides)
    out = Path(arguments.out)
    if not arguments.seeds:
        run_once(config, out, arguments)
        return
    if len(set(arguments.seeds)) < len(arguments.seeds):
        raise UserError(f"--seeds {' '.join(map(str, arguments.seeds))}: name each seed once")
    runs = [(ConfigDict({**config, "seed": seed}), out / f"seed_{seed}") for seed in arguments.seeds]
    for run_config, folder in runs:
        check_run(run_config, folder)  # all of them before the first takes its minutes
    reports = [run_once(run_config, folder, arguments) for run_config, folder in runs]
    over_seeds = summary(arguments.seeds, reports)
    print(f"\n{summary_table(over_seeds)}\n")
    path = out / "seeds.json"
    path.write_text(json.dumps(over_seeds, indent=1) + "\n", encoding="utf-8")
    print(f"numbers in {path}")


def run_once(config: ConfigDict, out: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """One run: trains, measures, writes the page and the report, which it returns."""
    began = time.monotonic()
    minutes: dict[str, float] = {}
    with exit_as_training_ends():
        experiment = train(config, out, minutes=minutes)
    training = time.monotonic() - began
    model = Model.load(out)
    split = experiment.records.split("test")
    clips = [split.source[i] for i in range(min(arguments.count, len(split)))]
    usual = asdict(model.motion_options())
    few = {name: value for name, value in SAMPLING.items() if name in usual}
    options = model.motion_options(**{**few, **sampling(arguments)})
    two = model.engine.answers.capabilities.persons > 1 and all(len(clip.persons) > 1 for clip in clips)
    shares, motions, captions = (measure_pairs if two else measure)(model, clips, options)
    slides = {} if two else feet_slide(motions, clips)
    print(f"\n{table(shares, (PAIR_NAMES if two else NAMES).__getitem__)}")
    if slides:
        print(f"feet of generated walks slide {slides['raw']:.2f} m/s, {slides['cleaned']:.2f} m/s when cleaned")
    print()
    show(out / "index.html", model, clips, motions, captions, shares)
    report: dict[str, Any] = {name: share.report() for name, share in shares.items()}
    report["skating"] = {name: round(speed, 3) for name, speed in slides.items()}
    report["minutes"] = {
        **{name: round(spent, 2) for name, spent in minutes.items()},
        "training": round(training / 60, 2),
        "all": round((time.monotonic() - began) / 60, 2),
    }
    report["sampling"] = asdict(options)
    path = out / "report.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"{report['minutes']['all']:.1f} minutes; open {path.with_name('index.html')}, numbers in {path}")
    return report


def measure(model: Model, clips: Sequence[Clip], options: Any) -> tuple[dict[str, Accuracy], list[Motion], list[str]]:
    """(shares by name, generated motions, captions) over held-out clips."""
    labels = [clip.labels for clip in clips]
    sentences = [clip.captions[0] for clip in clips]
    recordings = [features_to_joints(clip.features, model.skeleton) for clip in clips]
    features = [clip.features for clip in clips]
    motions = model.generate(sentences, frames=_lengths(model, features), **asdict(options))
    with_side = [i for i, wanted in enumerate(labels) if has_side(wanted)]
    twins = [mirror_caption(sentences[i]) for i in with_side]
    mirror_images = (
        model.generate(twins, frames=_lengths(model, [features[i] for i in with_side]), **asdict(options))
        if with_side
        else []
    )
    captions = model.caption_features(features)
    shares = {
        "reader_on_ground_truth": motion_accuracy(recordings, labels),
        "reconstruction": motion_accuracy(model.engine.reconstruct(features), labels),
        "text_to_motion": motion_accuracy([motion.joints[0] for motion in motions], labels),
        "sides": side_accuracy(
            [motion.joints[0] for motion in (*(motions[i] for i in with_side), *mirror_images)],
            [*(labels[i] for i in with_side), *(mirror_labels(labels[i]) for i in with_side)],
        ),
        "captioning": caption_accuracy(captions, labels),
    }
    return shares, motions, captions


def _lengths(model: Model, clips: Sequence[Features]) -> list[int] | None:
    """Those of recordings, of a model that can be asked for a length."""
    return [len(clip) for clip in clips] if model.engine.answers.capabilities.takes_length else None


def feet_slide(motions: Sequence[Motion], clips: Sequence[Clip]) -> dict[str, float]:
    """Mean speed in m/s at which standing feet slide in motions that walk, as generated and after `clean_feet`.

    Empty where no motion should walk.
    """
    walks = [
        motion.joints[0]
        for motion, clip in zip(motions, clips)
        if {action["action"] for action in clip.labels["actions"]} <= set(WALKS)
    ]
    if not walks:
        return {}
    raw = [skating(joints) for joints in walks]
    cleaned = [skating(clean_feet(joints), original=joints) for joints in walks]
    return {"raw": float(np.mean(raw)), "cleaned": float(np.mean(cleaned))}


def summary(seeds: Sequence[int], reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Worst and middle of several runs; of each action in text to motion the worst run, and all of them together."""
    over_seeds: dict[str, Any] = {"seeds": list(seeds)}
    for name in _names_of(reports[0]):
        shares = [report[name]["share_right"] for report in reports]
        over_seeds[name] = {"worst": min(shares), "middle": statistics.median(shares), "each": shares}
    for name in ("raw", "cleaned"):
        speeds = [report["skating"][name] for report in reports if report["skating"]]
        if speeds:
            over_seeds[f"skating_{name}"] = {"worst": max(speeds), "middle": statistics.median(speeds), "each": speeds}
    over_seeds["by_action"] = by_action([report["text_to_motion"] for report in reports])
    over_seeds["minutes"] = [report["minutes"]["all"] for report in reports]
    return over_seeds


def by_action(reports: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Of each action the share in the worst run, and that of the sentences of all runs together."""
    shares: dict[str, dict[str, float]] = {}
    for action in sorted({action for report in reports for action in report["by_action"]}):
        runs = [
            (report["by_action"][action], report["counts"][action]) for report in reports if action in report["counts"]
        ]
        together = sum(share * count for share, count in runs) / sum(count for _, count in runs)
        shares[action] = {"worst": min(share for share, _ in runs), "together": round(together, 3)}
    return shares


def summary_table(over_seeds: Mapping[str, Any]) -> str:
    """A summary as lines of text."""
    names = _names_of(over_seeds)
    width = max(map(len, names.values()))
    lines = [f"{'over seeds ' + ' '.join(map(str, over_seeds['seeds'])):<{width}}   worst  middle"]
    for name, title in names.items():
        lines.append(f"{title:<{width}}  {over_seeds[name]['worst']:6.1%}  {over_seeds[name]['middle']:6.1%}")
    for name in ("raw", "cleaned"):
        if speeds := over_seeds.get(f"skating_{name}"):
            title = f"feet of generated walks slide, m/s, {name}"
            lines.append(f"{title:<{width}}  {speeds['worst']:6.2f}  {speeds['middle']:6.2f}")
    action, shares = min(over_seeds["by_action"].items(), key=lambda item: item[1]["worst"])
    lines.append(
        f"weakest action in one run: {action}, {shares['worst']:.0%} (runs together: {shares['together']:.0%})"
    )
    return "\n".join(lines)


def _names_of(report: Mapping[str, Any]) -> Mapping[str, str]:
    """What a report measures, in words: of one person, or of two."""
    return PAIR_NAMES if "roles" in report else NAMES


def show(
    path: Path,
    model: Model,
    clips: Sequence[Clip],
    motions: Sequence[Motion],
    captions: Sequence[str],
    shares: Mapping[str, Accuracy],
) -> None:
    """Writes a page: a generated motion of every action, then a captioned held-out motion of every action."""
    actions = shares["text_to_motion"].actions
    firsts = [actions.index(action) for action in sorted(set(actions))]
    entries = []
    for i in firsts:
        verdict = "shows what was asked" if shares["text_to_motion"].right[i] else "does not show what was asked"
        entries.append(Entry(clips[i].captions[0], motions[i], f"seed {i}; {verdict}", section=GENERATED))
    for i in firsts:
        verdict = "a right caption" if shares["captioning"].right[i] else "a wrong caption"
        entries.append(
            Entry(captions[i], clip_motion(clips[i], model.skeleton), f"clip {i}; {verdict}", section=CAPTIONED)
        )
    generated, captioned = shares["text_to_motion"], shares["captioning"]
    title = (
        f"{model.engine.folder.kind.title} from nothing: {generated.share_right:.0%} of {len(generated.right)} "
        f"held-out sentences shown, "
        f"{captioned.share_right:.0%} of {len(captioned.right)} held-out motions named"
    )
    write_page(path, entries, title)
