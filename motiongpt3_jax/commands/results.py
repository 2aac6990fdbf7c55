"""Output files of the commands that make motions: joints, pictures, a page with all of them, and a manifest."""

import argparse
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from motiongpt3_jax.commands.arguments import user_path
from motiongpt3_jax.inference.continuation import Bend
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.motion import Motion
from motiongpt3_jax.motion.pictures import Entry, write_page
from motiongpt3_jax.motion.saving import whole_file
from motiongpt3_jax.motion.write_kind import WRITERS, write_kind

PICTURES = ("gif", "mp4")
MANIFEST = "manifest.json"
OURS = re.compile(r"motion_\d{3,}(_\d+)?(\.[a-z0-9]+){1,2}")
"""Names of files that results have."""


@dataclass(frozen=True)
class Result:
    """A motion that was made.

    Attributes:
      motion: the motion.
      title: what it is to show.
      note: what else is said on the page.
      record: its entry of the manifest.
      warning: why it may not show what it is to, for the page.
    """

    motion: Motion
    title: str
    note: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)
    warning: str = ""


def add_results(parser: argparse.ArgumentParser, out: str | None = None) -> None:
    """Where results go, and as what; `out` is the folder unless another is given."""
    parser.add_argument("--format", default="gif", choices=(*PICTURES, "none"), help="kind of picture (default: gif)")
    kinds = tuple(kind for kind in WRITERS if kind not in (*PICTURES, "npy", "html"))
    parser.add_argument("--also", nargs="+", default=[], choices=kinds, help="further kinds of file for each motion")
    parser.add_argument("--out", type=user_path, required=out is None, default=out, help="folder for the results")


def write_results(
    folder: Path,
    arguments: argparse.Namespace,
    results: Sequence[Result],
    page: str,
    record: Mapping[str, Any],
) -> None:
    """Writes `motion_000.npy`, its picture, ... , then `index.html` and `manifest.json`.

    Args:
      folder: where; made if need be.
      arguments: those of `add_results`.
      results: the motions.
      page: the page's title.
      record: what the manifest says of all of them, beside an entry for each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records, entries = [], []
    for number, result in enumerate(results):
        motion = result.motion
        name, ending = f"motion_{number:03d}", "npy" if motion.fps == motion.skeleton.fps else "npz"
        kinds = {"joints": ending} | ({"picture": arguments.format} if arguments.format != "none" else {})
        kinds |= {kind: kind for kind in arguments.also}
        files = {
            what: [path.name for path in write_kind(folder, name, motion, kind, result.title)]
            for what, kind in kinds.items()
        }
        names = tuple(path for paths in files.values() for path in paths)
        entries.append(Entry(result.title, motion, result.note, result.warning, files=names))
        files = {what: names[0] if len(names) == 1 else names for what, names in files.items()}
        records.append({**result.record, "frames": motion.frames, "fps": motion.fps, **files})
    write_page(folder / "index.html", entries, page)
    text = json.dumps({**record, "motions": records}, indent=1)
    earlier = listed_files(folder / MANIFEST)
    with whole_file(folder / MANIFEST, ".json") as fresh:
        fresh.write_text(text + "\n", encoding="utf-8")
    remove_earlier(folder, earlier - listed_files(folder / MANIFEST))


def listed_files(manifest: Path) -> set[str]:
    """The files that a manifest says lie beside it; none where there is no manifest that can be read."""
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        names = [name for motion in content["motions"] for value in motion.values() for name in _names(value)]
    except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return set()
    return {name for name in names if OURS.fullmatch(name)}


def _names(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [name for name in values if isinstance(name, str)]


def remove_earlier(folder: Path, names: Collection[str]) -> None:
    """Removes what an earlier run wrote that this one did not write anew, which would pass for its own; says so."""
    leftovers = sorted(name for name in names if (folder / name).is_file())
    for name in leftovers:
        (folder / name).unlink()
    if leftovers:
        print(f"removed from {folder}, of an earlier run: {', '.join(leftovers[:5])}{' ...' * (len(leftovers) > 5)}")


def origin(model: Model, name: str, options: Any) -> dict[str, Any]:
    """What a manifest says of the model and the sampling."""
    stage, step = model.engine.trained
    return {"model": name, "system": model.engine.folder.kind.name, "stage": stage, "step": step, **asdict(options)}


def unknown_note(words: Sequence[str]) -> str:
    """What the page says of words that the model never saw; empty where there are none."""
    return f"in no caption of the training: {', '.join(words)}" if words else ""


def bend_note(bend: Bend) -> str:
    """What it took to meet the given frames, for people."""
    parts = []
    if bend.place:
        parts.append(f"carried {100 * bend.place:.0f} cm and turned {np.degrees(bend.yaw):.0f} degrees")
    joints = bend.joints
    parts.append(f"bent {100 * joints.mean:.1f} cm on average, {100 * joints.largest:.0f} cm at most")
    if joints.acceleration > joints.limit:
        parts.append("too few frames for the way between: ask for more with --seconds")
    elif joints.stretch > 0.02:
        parts.append(f"a limb whirls at the seam, where its bones give way by {100 * joints.stretch:.0f} cm")
    return ", ".join(parts)
