"""SHA-256 digests of a model's files: written with them, compared when they are read.

They stand in `config.json` under "sha256", by the names of the files; that of `config.json` itself is of all the rest
that it says, whatever its spaces.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.training.manifest import checksum

CONFIG = "config.json"
SHA256 = "sha256"


def config_digest(config_json: Mapping[str, Any]) -> str:
    """SHA-256 of what a `config.json` says, apart from its digests."""
    # Through JSON and back: tuples are lists there, and numbers as keys are text.
    rest = {key: value for key, value in json.loads(json.dumps(config_json)).items() if key != SHA256}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def with_digests(config_json: Mapping[str, Any], folder: Path, files: Sequence[str]) -> dict[str, Any]:
    """What a `config.json` says, with the digests of these files and its own."""
    digests = {name: checksum(folder / name) for name in files}
    digests[CONFIG] = config_digest(config_json)
    return {**config_json, SHA256: digests}


def check_config_digest(path: Path, config_json: Mapping[str, Any]) -> None:
    """Raises UserError when a `config.json` is not as it was written."""
    _compare(path, CONFIG, config_json.get(SHA256, {}), lambda: config_digest(config_json))


def check_file_digest(folder: Path, name: str, digests: Mapping[str, str]) -> None:
    """Raises UserError when a file of a model's folder is not as it was written; its reader says when it is gone."""
    if (folder / name).is_file():
        _compare(folder / name, name, digests, lambda: checksum(folder / name))


def _compare(path: Path, name: str, digests: Mapping[str, str], digest: Callable[[], str]) -> None:
    if name in digests and digests[name] != digest():
        raise UserError(
            f"'{path}' is not as it was written (another SHA-256): it is damaged, or was edited. Export or download "
            f'the model anew; if the change is meant, take "{name}" out of "{SHA256}" in its {CONFIG}'
        )
