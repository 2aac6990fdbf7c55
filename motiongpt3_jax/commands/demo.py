"""Everything small, end to end: makes its data, trains every stage, answers, and measures the answers."""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from motiongpt3_jax.commands.arguments import command_parser, user_path
from motiongpt3_jax.commands.train import train
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.evaluation.shown import Share, captions_right, motions_shown, table
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.motion import Motion, features_to_joints
from motiongpt3_jax.motion.pictures import Entry, write_page
from motiongpt3_jax.systems.motiongpt3 import MotionOptions

NAMES = {
    "reader_on_ground_truth": "the reader on recorded motions",
    "reconstruction": "motions through the VAE and back",
    "text_to_motion": "motions from held-out sentences",
    "captioning": "captions of held-out motions (action)",
}


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    found = command_parser(
        "demo",
        "Makes captioned motions, trains every stage on them, generates and captions, and measures both.",
        "motiongpt3 demo --out runs/demo",
        overrides=True,
    )
    found.add_argument(
        "--out", type=user_path, default="runs/demo", metavar="RUN", help="folder of the run (default: runs/demo)"
    )
    found.add_argument(
        "--config", type=user_path, default="motiongpt3:demo", help="config to train (default: motiongpt3:demo)"
    )
    found.add_argument("--count", type=int, default=400, help="held-out clips to measure on (default: 400)")
    found.add_argument("--steps", type=int, default=20, help="denoising steps (default: 20)")
    found.add_argument("--guidance", type=float, default=2.0, help="guidance scale (default: 2)")
    return found


def run(arguments: argparse.Namespace) -> None:
    """Trains what is not trained yet, then measures and shows."""
    if arguments.count < 1:
        raise ValueError(f"--count {arguments.count}: measure on at least one clip")
    MotionOptions(steps=arguments.steps, guidance_scale=arguments.guidance)  # said before minutes of training
    began = time.monotonic()
    minutes: dict[str, float] = {}
    made = train(load_config(arguments.config, arguments.overrides), arguments.out, minutes=minutes)
    training = time.monotonic() - began
    model = Model.load(arguments.out)
    split = made.records.split("test")
    clips = [split.source[i] for i in range(min(arguments.count, len(split)))]
    options = model.motion_options(steps=arguments.steps, guidance_scale=arguments.guidance)
    shares, generated, captions = measure(model, clips, options)
    print(f"\n{table(shares, NAMES.__getitem__)}\n")
    show(Path(arguments.out) / "index.html", model, clips, generated, captions, shares)
    report = {name: share.report() for name, share in shares.items()}
    report["minutes"] = {
        **{name: round(spent, 2) for name, spent in minutes.items()},
        "training": round(training / 60, 2),
        "all": round((time.monotonic() - began) / 60, 2),
    }
    report["sampling"] = {"sampler": options.sampler, "steps": options.steps, "guidance": options.guidance_scale}
    path = Path(arguments.out) / "report.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"{report['minutes']['all']:.1f} minutes; open {path.with_name('index.html')}, numbers in {path}")


def measure(
    model: Model, clips: Sequence[Clip], options: MotionOptions
) -> tuple[dict[str, Share], list[Motion], list[str]]:
    """(shares by name, generated joints, captions) over held-out clips."""
    labels = [clip.labels for clip in clips]
    sentences = [clip.captions[0] for clip in clips]
    recorded = [features_to_joints(clip.features, model.skeleton) for clip in clips]
    features = [clip.features for clip in clips]
    generated = model.generate(sentences, frames=[len(x) for x in features], **asdict(options))
    captions = model.caption_features(features)
    shares = {
        "reader_on_ground_truth": motions_shown(recorded, labels),
        "reconstruction": motions_shown(model.engine.reconstruct(features), labels),
        "text_to_motion": motions_shown([motion.joints[0] for motion in generated], labels),
        "captioning": captions_right(captions, labels),
    }
    return shares, generated, captions


def show(
    path: Path,
    model: Model,
    clips: Sequence[Clip],
    generated: Sequence[Motion],
    captions: Sequence[str],
    shares: Mapping[str, Share],
) -> None:
    """Writes a page: a generated motion of every action, then a captioned held-out motion of every action."""
    actions = shares["text_to_motion"].actions
    firsts = [actions.index(action) for action in sorted(set(actions))]
    entries = []
    for i in firsts:
        verdict = "shows what was asked" if shares["text_to_motion"].right[i] else "does not show what was asked"
        entries.append(Entry(clips[i].captions[0], generated[i], f"generated; {verdict}"))
    for i in firsts:
        verdict = "right action" if shares["captioning"].right[i] else "wrong action"
        motion = Motion(features_to_joints(clips[i].features, model.skeleton)[None], model.fps, model.skeleton)
        entries.append(Entry(captions[i], motion, f"held-out motion, captioned by the model; {verdict}"))
    asked, said = shares["text_to_motion"], shares["captioning"]
    title = (
        f"MotionGPT3 from nothing: {asked.share_right:.0%} of {len(asked.right)} held-out sentences shown, "
        f"{said.share_right:.0%} of {len(said.right)} held-out motions named"
    )
    write_page(path, entries, title)
