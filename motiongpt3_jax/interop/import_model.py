"""Import of a checkpoint of other code, or of one of our models, as a model's folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.beginning import trained_parts
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.inference.exported import require_free, write_exported
from motiongpt3_jax.inference.folder import ModelFolder, MotionStatistics, plain, read_folder
from motiongpt3_jax.inference.weights import open_variables
from motiongpt3_jax.interop.identify_system import choose_config
from motiongpt3_jax.interop.peft_adapter import is_peft
from motiongpt3_jax.interop.sources import find_source
from motiongpt3_jax.interop.statistics import NEEDED, read_statistics
from motiongpt3_jax.motion import HUMANML3D
from motiongpt3_jax.places import require_room
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.parts import differences
from motiongpt3_jax.systems.registry import find_system
from motiongpt3_jax.systems.weights import Identified, Importer
from motiongpt3_jax.tensors.checkpoint_files import as_float32, read_state_dict
from motiongpt3_jax.text import Tokenizer, TokenSpec, load_tokenizer


class ImportResult(NamedTuple):
    """A model that was imported.

    Attributes:
      folder: its folder.
      notes: what there is to say of it, a sentence each.
      config: name of the config that said what tensors do not, with which a training of its other parts would begin;
        "" for one of our models.
    """

    folder: ModelFolder
    notes: list[str]
    config: str


def import_model(
    source: str | Path,
    out: str | Path,
    config: str = "",
    overrides: Sequence[str] = (),
    *,
    tokenizer: str | Path | None = None,
    statistics: str | Path | None = None,
    base: str | Path = "",
) -> ImportResult:
    """Writes a model's folder from a checkpoint of other code, or from one of our models.

    Args:
      source: a file, a folder or a hub name.
      out: the folder to write.
      config: name or path of the config that says what tensors do not; by default that of the published model which
        they belong to.
      overrides: single values of it ("model.decoder.heads=12").
      tokenizer: a folder or a hub name; by default that beside the file, or the one that such models have.
      statistics: a folder with Mean.npy and Std.npy, a model's, or that of built clips; by default those
        beside the file.
      base: the published language model that adapters in the file adapt: a folder or a hub name.

    Raises:
      FileNotFoundError: there is no such source.
      FileExistsError: something else lies at `out`.
      UserError: the tensors fit no model, or the statistics or the tokenizer do not fit them; says which.
    """
    out = require_free(out)
    require_room("--out", out, "a folder")
    if is_peft(Path(source)):
        raise UserError(f"--from {source} is a LoRA adapter: name the model that it adapts with --base")
    overrides = [*overrides, *([f"pretrained={base}"] if base else [])]
    values = _load_values(config, overrides) if config else None
    place = find_source(str(source))
    if place.is_dir():
        if config or overrides or tokenizer or statistics:
            raise UserError(f"{source} is one of our models, which has its own config, tokenizer and statistics")
        folder = read_folder(place)
        stage, step, variables = open_variables(folder)
        return ImportResult(write_exported(out, folder, variables, (stage, step)), [], "")
    if values is not None:
        _importer(values)  # said before a large file is read
    tensors = read_state_dict(place)
    config = choose_config(tensors, config, values["system"] if values else "")
    values = values or _load_values(config, overrides)
    importer = _importer(values)
    if base and not find_system(values["system"]).weights.adapter_formats:
        raise UserError(f"--base {base}: --from {source} has no LoRA adapters, so leave --base out")
    tensors |= _read_companions(place, importer)
    overridden_keys = [override.partition("=")[0] for override in overrides]
    folder, variables, notes = _from_tensors(place, tensors, values, overridden_keys, tokenizer, statistics)
    return ImportResult(write_exported(out, folder, variables, ("imported", 0)), notes, config)


def _load_values(config: str, overrides: Sequence[str]) -> Mapping[str, Any]:
    """The plain values of a config; what is wrong with it is said."""
    values = load_config(config, list(overrides)).to_dict()
    check_config(plain(values))
    return plain(values)


def _importer(config: Mapping[str, Any]) -> Importer:
    kind = find_system(config["system"])
    if kind.weights.importer is None:
        raise UserError(f"no checkpoints of other code are read as a {kind.title}; give one of its own models")
    return kind.weights.importer


def _read_companions(source: Path, importer: Importer) -> dict[str, np.ndarray]:
    """Other parts of a model that lie beside its file."""
    files = (source.with_name(name) for name in importer.companions if name != source.name)
    return {name: tensor for file in files if file.is_file() for name, tensor in read_state_dict(file).items()}


def _from_tensors(
    source: Path,
    tensors: Mapping[str, np.ndarray],
    config: Mapping[str, Any],
    chosen: Sequence[str],
    tokenizer: str | Path | None,
    statistics: str | Path | None,
) -> tuple[ModelFolder, Variables, list[str]]:
    """The model in a file of tensors, and what there is to say of it."""
    importer, kind = _importer(config), find_system(config["system"])
    identified = importer.identify(tensors, config, chosen)
    numbers, note = as_float32(identified.tensors)
    identified = identified._replace(tensors=numbers)
    name, tokenizer_model = "", None
    if kind.tokens is not None:
        name, tokenizer_model = _find_tokenizer(source, tokenizer, identified, kind.tokens(identified.config))
    frame_statistics = _find_statistics(source, identified, statistics)
    values = {**identified.config, **({"tokenizer": name} if name else {})}
    folder = ModelFolder(source, values, tokenizer_model, frame_statistics, identified.untrained, identified.questions)
    return folder, importer.variables(identified, folder.spec), [*filter(None, [note]), *identified.notes]


def _find_tokenizer(
    source: Path, place: str | Path | None, identified: Identified, spec: TokenSpec
) -> tuple[str, Tokenizer]:
    """(name, tokenizer): the one that is named, the one beside the file, or the usual one."""
    beside = any((source.parent / name).is_file() for name in ("tokenizer.json", "vocab.json"))
    name = str(place or (source.parent if beside else identified.tokenizer))
    tokenizer = load_tokenizer(name, spec)
    if identified.vocabulary not in (None, tokenizer.base_vocabulary):
        raise UserError(
            f"{source} has {identified.vocabulary} ids, and the tokenizer {name!r} {tokenizer.base_vocabulary}: give "
            "the one that it was trained with as --tokenizer"
        )
    return name, tokenizer


def _find_statistics(source: Path, identified: Identified, statistics: str | Path | None) -> MotionStatistics:
    """The statistics that were given, or lie beside the file; nothing in their place for a model that reads no frames.

    Raises:
      UserError: there are none, or they are of another number of features.
    """
    beside = source.with_name(f"{source.stem}_Mean.npy")
    place = statistics or (beside if beside.is_file() else None)
    if identified.features is None and place is None:
        count, joints = HUMANML3D.features, len(HUMANML3D.joints)
        return MotionStatistics(
            np.zeros(count, np.float32), np.ones(count, np.float32), np.zeros((joints, 3), np.float32)
        )
    if place is None:
        raise UserError(NEEDED)
    read = read_statistics(place)
    if identified.features not in (None, len(read.mean)):
        raise UserError(
            f"{source} has {identified.features} features a frame, and --statistics {place} {len(read.mean)}"
        )
    return read


def next_step(folder: ModelFolder, config: str) -> str:
    """What can be done with an imported model.

    Args:
      folder: the model's.
      config: name of the config that a training of its other parts would begin with; "" where there are several.
    """
    if not folder.untrained:
        return f'imported; next: motiongpt3 generate --model {folder.path} --text "a person walks" --out motions'
    parts, start = trained_parts(folder), f"--config.start={folder.path}"
    if not config:
        return f"imported: {', '.join(parts)}; next: motiongpt3 train --config CONFIG {start} --workdir RUN"
    next_config = plain(load_config(config).to_dict())
    run = tuple(name for name in next_config["run"] if name not in parts)
    sizes = differences(folder.config["model"], next_config["model"], parts, folder.kind.weights)
    flags = [f"--config {config}", *sizes, start, f'--config.run="{run}"', "--workdir RUN"]
    return f"imported: {', '.join(parts)}; next: motiongpt3 train {' '.join(flags)}"
