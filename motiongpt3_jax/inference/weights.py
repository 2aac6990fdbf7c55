"""Loading and saving a model's weights: checkpoints of a run, or the `model.safetensors` of an exported model.

In format 2 that file holds the parameters under their own paths (`decoder/layers/text/q/kernel`) and the state as
`state/...`, in our layout, float32 or truth values; its metadata say the version of the format, the system, and the
stage and step that the arrays come from. In format 1, which is still read, parameters had the official names of their
system and PyTorch's layout, and the state lay beside them as `state.latent_mean`.
"""

import re
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import numpy as np
from flax.traverse_util import unflatten_dict
from safetensors import SafetensorError, safe_open

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.check_folder import ANEW
from motiongpt3_jax.inference.digests import check_file_digest
from motiongpt3_jax.inference.folder import ModelFolder, read_folder
from motiongpt3_jax.motion.lfs import refuse_lfs_pointer
from motiongpt3_jax.motion.saving import whole_file
from motiongpt3_jax.systems.interface import Tree, Variables
from motiongpt3_jax.systems.shapes import STATE, array_shapes, flat_arrays
from motiongpt3_jax.tensors.stored_tensors import StoredParameter
from motiongpt3_jax.tensors.write_safetensors import write_safetensors
from motiongpt3_jax.training.restore import restore_variables

WEIGHTS = "model.safetensors"
FORMAT = "2"


def read_variables(folder: ModelFolder, which: Literal["last", "best"] = "last") -> tuple[str, int, Variables]:
    """(stage, step, variables) of a run's newest stage, or of an exported model, as numpy arrays of this host.

    Arguments and errors are those of `open_variables`.
    """
    stage, step, variables = open_variables(folder, which)
    return stage, step, jax.tree.map(np.asarray, variables)


def open_variables(folder: ModelFolder, which: Literal["last", "best"] = "last") -> tuple[str, int, Variables]:
    """(stage, step, variables) of a run's newest stage, or of an exported model.

    Arrays are numpy's; of a published language model that the run refers to nothing is read yet, see `StoredParameter`.

    Raises:
      FileNotFoundError: there is no such checkpoint.
      UserError: the weights are damaged, or do not fit the model's config.
    """
    path = folder.path / WEIGHTS
    if not path.is_file() or (folder.path / "checkpoints").is_dir():
        return read_checkpoint(folder, which=which)
    if which == "best":
        raise FileNotFoundError(f"'{folder.path}' is an exported model, which has one set of weights: leave --best out")
    weights = read_weights(path, folder)
    if WEIGHTS not in folder.sha256:
        print(f"note: '{folder.path}' has no digests of its files, so damage may go unnoticed", file=sys.stderr)
    check_file_digest(folder.path, WEIGHTS, folder.sha256)
    return weights


def read_checkpoint(
    folder: ModelFolder, stage: str | None = None, which: Literal["last", "best"] = "last", ema: bool = True
) -> tuple[str, int, Variables]:
    """(stage, step, variables) of a run's checkpoint, as those of `open_variables`.

    Args:
      folder: the run's.
      stage: the stage; the newest when not given.
      which: the last checkpoint, or the one with the best validation.
      ema: take the moving average of what has one.

    Raises:
      FileNotFoundError: there is no such checkpoint.
      UserError: the weights are damaged, or do not fit the model's config.
    """
    name, step, variables = restore_variables(
        folder.path,
        stage,
        which,
        ema,
        upgrade=folder.kind.make_system(folder.spec).upgrade,
        read_outside=partial(_read_outside, folder),
    )
    check_variables(f"checkpoint {step} of stage {name!r} in '{folder.path}'", variables, folder)
    return name, step, variables


def _read_outside(folder: ModelFolder, place: Path) -> Tree:
    """Parameters that a run refers to outside of itself: an exported model's, or a pretrained one's."""
    if (place / "config.json").is_file() and (place / "statistics.npz").is_file():
        return open_variables(read_folder(place))[2].params
    return folder.kind.weights.pretrained(str(place), folder.spec)


def read_weights(path: Path, folder: ModelFolder) -> tuple[str, int, Variables]:
    """(stage, step, variables) of an exported model's weights.

    Raises:
      UserError: the file is damaged, is none of ours, or does not fit the config; says which.
    """
    refuse_lfs_pointer(path, f"'{path}'")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dictionary)
    except (SafetensorError, OSError) as error:
        raise UserError(f"'{path}' is damaged ({error}); export or download it anew") from None
    version = metadata.get("format_version")
    if version not in ("1", FORMAT):
        raise UserError(
            f"'{path}' has format {version!r} where {FORMAT!r} is read: if it is another program's, "
            "use `motiongpt3 import`; if it is newer, update this one"
        )
    missing = [f"{name} in its metadata" for name in ("stage", "step") if name not in metadata]
    if missing:
        raise UserError(f"'{path}' has no {' and no '.join(missing)}; export the model anew")
    if not re.fullmatch(r"[0-9]{1,18}", metadata["step"]):
        raise UserError(f"'{path}' has the step {metadata['step']!r}, which is no number; {ANEW}")
    variables = _from_format_1(path, tensors, folder) if version == "1" else _from_paths(tensors)
    check_variables(f"'{path}'", variables, folder)
    return metadata["stage"], int(metadata["step"]), variables


def _from_paths(tensors: Mapping[str, np.ndarray]) -> Variables:
    params = {name: tensor for name, tensor in tensors.items() if not name.startswith(STATE)}
    state = {name.removeprefix(STATE): tensor for name, tensor in tensors.items() if name.startswith(STATE)}
    return Variables(unflatten_dict(params, sep="/"), unflatten_dict(state, sep="/"))


def _from_format_1(path: Path, tensors: Mapping[str, np.ndarray], folder: ModelFolder) -> Variables:
    """Variables whose parameters have the official names of their system."""
    weights, prefix = folder.kind.weights, "state."
    if weights.from_official is None:
        raise UserError(f"'{path}' has format '1', which {folder.kind.title} never had; {ANEW}")
    params = {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)}
    state = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    try:
        return Variables(weights.from_official(params, folder.spec), state)
    except UserError as error:
        raise UserError(f"'{path}' is damaged, or of another model: {error}") from None


def check_variables(where: str, variables: Variables, folder: ModelFolder) -> None:
    """Raises UserError when arrays are missing, are not finite, or have other shapes than the config says.

    Args:
      where: what holds them, as errors name it.
      variables: the arrays; numbers of those that are not read yet are not looked at.
      folder: the model's.
    """
    arrays = flat_arrays(variables)
    expected = array_shapes(folder.kind, folder.spec)
    for name, shape in expected.items():
        if name not in arrays:
            raise UserError(f"{where} has no {name}: it is damaged, or is of another model; {ANEW}")
        array = arrays[name]
        if np.shape(array) != shape:
            raise UserError(
                f"{where} has {name} of shape {np.shape(array)}, and the config's sizes say {shape}; {ANEW}"
            )
        if not isinstance(array, StoredParameter) and not np.all(np.isfinite(array)):
            raise UserError(f"{where} is damaged: {name} holds values that are not finite; {ANEW}")
    unknown = next((name for name in arrays if name not in expected), None)
    if unknown is not None:
        raise UserError(f"{where} has {unknown}, which is no parameter of this model; {ANEW}")
    try:
        folder.kind.check_state(variables.state)
    except UserError as error:
        raise UserError(f"{where} is damaged: {error}; {ANEW}") from None


def write_weights(path: Path, variables: Variables, system: str, trained: tuple[str, int]) -> None:
    """Writes the weights of an exported model; they appear whole or not at all.

    Args:
      path: the file.
      variables: the arrays; of those that lie in files as much is read at once as `write_safetensors` does.
      system: name of the system.
      trained: the stage and step that the arrays come from.
    """
    metadata = {"format_version": FORMAT, "system": system, "stage": trained[0], "step": str(trained[1])}
    with whole_file(path, ".safetensors") as fresh:
        write_safetensors(fresh, flat_arrays(variables), metadata)
