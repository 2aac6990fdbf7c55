"""Golden numbers of the official implementations: reading them, filling weights by their rule, comparing with them.

The fixtures of MotionGPT3 lie in the folder that the environment variable MOTION_GOLDEN_DIR names, by default
`../shared/golden` beside the project, those of MotionGPT and of MotionLLM in the folders of that name and `_motiongpt`
or `_motionllm`; without them the tests that need them are skipped, unless MOTION_GOLDEN_REQUIRED=1 makes such a skip a
failure. Every comparison's largest difference is listed at the end of a pytest run.
"""

import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(os.environ.get("MOTION_GOLDEN_DIR") or Path(__file__).resolve().parents[2] / "shared" / "golden")
REQUIRED = os.environ.get("MOTION_GOLDEN_REQUIRED") == "1"
PROPERTY = "golden_difference"

Gains = tuple[tuple[str, float, int | None], ...]
"""(pattern, gain, axis that holds the fan-in): the first pattern found in the key wins."""

Scales = tuple[tuple[str, float, float], ...]
"""(pattern, middle, gain) of tensors that lie around another value than others of their kind."""

Rows = Mapping[str, tuple[tuple[int, ...], float]]
"""Rows of a tensor that are multiplied last, by how much."""

GAINS: Gains = (
    (r"(^|\.)(wte|wpe|wpe_mot)\.weight$", 0.1, None),
    (r"pre_processors\.\d+\.weight$", 0.1, None),
    (
        r"\.pe$|hidden_embedding$|global_motion_token$|fake_latent$|(^|\.)hidden$|diffusion_pos_embed_learned$",
        0.5,
        None,
    ),
    (r"c_attn\.fn\.\d+\.weight$", 1.5, 0),
    (r"(c_proj\.fn\.\d+|mlp\.fn\.\d+\.c_fc|mlp\.fn\.\d+\.c_proj)\.weight$", 1.0, 0),
    (r"in_proj_weight$", 2.0, 1),
    (r"self_attn\.out_proj\.weight$", 0.4, 1),
    (r"multihead_attn\.out_proj\.weight$", 0.05, 1),
)

MOTIONGPT_GAINS: Gains = (
    (r"(SelfAttention|EncDecAttention)\.q\.weight$", 0.25, 1),
    (r"relative_attention_bias\.weight$", 1.0, None),
    (r"(^|\.)shared\.weight$", 1.0, None),
    (r"lm_head\.weight$", 2.0, 1),
    (r"quantizer\.codebook$", 0.6, None),
)

MOTIONLLM_GAINS: Gains = (
    (r"lora_A\.[^.]+\.weight$", 1.0, 1),
    (r"lora_B\.[^.]+\.weight$", 0.5, 1),
    (r"^gemma\d\..*embed_tokens\.weight$", 0.6, 1),
    (r"^(llama|qwen2|qwen3)\..*embed_tokens\.weight$", 3.0, 1),
    (r"^(gemma2|gemma3|llama|qwen2|qwen3)\.lm_head\.weight$", 2.0, 1),
    (r"self_attn\.[qk]_proj\.weight$", 1.5, 1),
    (r"quantizer\.codebook$", 0.6, None),
    (r"^interclip\.(token_embedding\.weight$|positional_embedding$|.*query_token$)", 0.5, None),
    (r"in_proj_weight$", 2.0, 1),
    (r"self_attn\.out_proj\.weight$", 0.4, 1),
)

MOTIONLLM_SCALES: Scales = (
    (r"^gemma\d\.model\.norm\.weight$", 4.0, 0.2),
    (r"^gemma\d\..*norm\.weight$", 0.0, 0.2),
    (r"^interclip\.latent_scale$", 1.0, 0.1),
)

MOTIONLLM_ROWS: Rows = {"gemma2.model.embed_tokens.weight": ((1, 561), 1.75)}
"""The ends of texts and of motions, so that decoding ends now and then."""

_running: pytest.Item | None = None


@dataclass(frozen=True)
class GoldenSet:
    """One implementation's fixtures.

    Attributes:
      folder: where they lie.
      gains, scales, rows: how its weights are filled, beside the general rules.
    """

    folder: Path
    gains: Gains
    scales: Scales = ()
    rows: Rows = field(default_factory=dict)

    def arrays(self, name: str) -> Mapping[str, np.ndarray]:
        """The arrays of `<name>.npz`; skips the test when the fixtures are not there."""
        return np.load(self.path(f"{name}.npz"), allow_pickle=False)

    def json(self, name: str) -> dict[str, Any]:
        """The contents of `<name>.json`, e.g. `fill_check` or `vae.manifest`; skips when it is not there."""
        return json.loads(self.path(f"{name}.json").read_text(encoding="utf-8"))

    def path(self, name: str) -> Path:
        """A file or folder among the fixtures; skips the test when it is not there."""
        path = self.folder / name
        if not path.exists():
            pytest.skip(f"golden fixture {path} is missing; point MOTION_GOLDEN_DIR at the folder that holds {name}")
        return path

    def fill(self, key: str, shape: tuple[int, ...]) -> np.ndarray:
        """The deterministic weights of the parameter with this full official key and PyTorch shape, float32."""
        shape = tuple(shape)
        seed = zlib.crc32(key.encode()) & 0x7FFFFFFF
        x = np.random.RandomState(seed).standard_normal(shape).astype(np.float32)
        for pattern, middle, gain in self.scales:
            if re.search(pattern, key):
                return np.float32(middle) + np.float32(gain) * x
        for pattern, gain, axis in self.gains:
            if re.search(pattern, key):
                return self._rows(key, x * np.float32(gain if axis is None else gain / np.sqrt(shape[axis])))
        if len(shape) == 1:
            return np.float32(1) + np.float32(0.1) * x if key.endswith(".weight") else np.float32(0.02) * x
        return x * np.float32(1 / np.sqrt(np.prod(shape[1:])))

    def _rows(self, key: str, x: np.ndarray) -> np.ndarray:
        rows, factor = self.rows.get(key, ((), 1.0))
        x[list(rows)] *= np.float32(factor)
        return x

    def filled(self, name: str, prefix: str = "") -> dict[str, np.ndarray]:
        """The filled state dict that `<name>.manifest.json` lists, tied tensors shared.

        Args:
          name: fixture, e.g. "vae".
          prefix: only the keys that begin with it; they keep their full names.
        """
        manifest = self.json(f"{name}.manifest")
        source = {key: entry.get("alias_of", key) for key, entry in manifest.items() if key.startswith(prefix)}
        # PyTorch shapes of tied tensors agree, so an alias can lend its shape to a source outside the prefix.
        tensors = {target: self.fill(target, manifest[key]["shape"]) for key, target in sorted(source.items())}
        return {key: tensors[target] for key, target in source.items()}


MOTIONGPT3 = GoldenSet(FOLDER, GAINS)
golden, golden_json = MOTIONGPT3.arrays, MOTIONGPT3.json
fill, filled = MOTIONGPT3.fill, MOTIONGPT3.filled

MOTIONGPT = GoldenSet(FOLDER.with_name(f"{FOLDER.name}_motiongpt"), MOTIONGPT_GAINS)
golden_motiongpt = MOTIONGPT.arrays

MOTIONLLM = GoldenSet(FOLDER.with_name(f"{FOLDER.name}_motionllm"), MOTIONLLM_GAINS, MOTIONLLM_SCALES, MOTIONLLM_ROWS)
golden_motionllm = MOTIONLLM.arrays


def compare(
    name: str,
    ours: Any,
    theirs: Any,
    atol: float = 1e-4,
    rtol: float = 1e-4,
    relative_to_max: bool = False,
) -> float:
    """Assert that two arrays agree, record the largest difference for the summary, and return it.

    Args:
      name: what is compared, e.g. "vae/a_mu".
      ours: our array.
      theirs: the golden array, of the same shape.
      atol: absolute part of what is allowed.
      rtol: part of it that grows with the golden value.
      relative_to_max: let `rtol` be of the largest golden value instead of each one.
    """
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, f"{name}: our shape {ours.shape} is not the golden {theirs.shape}"
    if not np.issubdtype(theirs.dtype, np.number):
        wrong = int(np.sum(ours != theirs))
        _record(name, float(wrong), 0.0, float(theirs.size))
        assert wrong == 0, f"{name}: {wrong} of {theirs.size} entries differ"
        return 0.0
    mine, wanted = ours.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(invalid="ignore"):
        difference = np.where(mine == wanted, 0.0, np.abs(mine - wanted))
    difference = np.where(np.isnan(difference), np.inf, difference)
    size = np.where(np.isfinite(wanted), np.abs(wanted), 0.0)
    scale = float(size.max(initial=0.0))
    allowed = atol + rtol * (scale if relative_to_max else size)
    largest = float(difference.max(initial=0.0))
    _record(name, largest, float(np.max(difference / np.maximum(allowed, 1e-300), initial=0.0)), scale)
    wrong = difference > allowed
    where = np.unravel_index(int(np.argmax(difference - allowed)), difference.shape) if wrong.any() else ()
    assert not wrong.any(), (
        f"{name}: {int(wrong.sum())} of {wrong.size} entries differ by more than atol {atol:g} + rtol {rtol:g}; "
        f"largest difference {largest:.3g} of values up to {scale:.3g}, "
        f"worst at {tuple(map(int, where))}: ours {ours[where]!r}, golden {theirs[where]!r}"
    )
    return largest


def _record(name: str, largest: float, used: float, scale: float) -> None:
    print(f"golden {name}: largest difference {largest:.2e} ({used:.0%} of the allowance), values up to {scale:.3g}")
    if _running is not None and _running.get_closest_marker("golden"):
        _running.user_properties.append((PROPERTY, [name, largest, used, scale]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Remember which test runs, so that `compare` can attach its result to the test's report."""
    global _running
    _running = item
    try:
        return (yield)
    finally:
        _running = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Where golden tests are required, one that is skipped for whatever reason has failed."""
    report = yield
    if REQUIRED and report.skipped and not hasattr(report, "wasxfail") and item.get_closest_marker("golden"):
        report.outcome = "failed"
        report.longrepr = f"golden test skipped although MOTION_GOLDEN_REQUIRED=1: {report.longrepr[2]}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """The same for a whole module that skips itself and holds golden tests."""
    report = yield
    skipped = REQUIRED and report.skipped and isinstance(collector, pytest.Module)
    if skipped and "pytest.mark.golden" in collector.path.read_text(encoding="utf-8"):
        report.outcome = "failed"
        report.longrepr = f"golden module skipped although MOTION_GOLDEN_REQUIRED=1: {report.longrepr[2]}"
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List the largest difference of every golden comparison; reports carry them, so pytest-xdist's workers too."""
    rows: dict[str, list[Any]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for key, value in getattr(report, "user_properties", ()):
                if key == PROPERTY and getattr(report, "when", "") == "call":
                    name = value[0]
                    if name not in rows or value[1] >= rows[name][1]:
                        rows[name] = value
    if not rows:
        return
    terminalreporter.section("golden: largest differences")
    width = max(map(len, rows))
    terminalreporter.write_line(f"{'comparison':{width}}  difference  of allowance  values up to")
    for name in sorted(rows):
        _, largest, used, scale = rows[name]
        terminalreporter.write_line(f"{name:{width}}  {largest:10.2e}  {used:12.1%}  {scale:12.4g}")
