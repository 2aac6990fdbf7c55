"""A model's arrays: from the checkpoints of a run, or from the `model.safetensors` of an exported model.

That file holds the parameters under their official names and in PyTorch's layout, float32, each tensor once, and our
state as `state.latent_mean` and `state.latent_square`. Its metadata say the version of this format, and the stage and
step that the arrays come from.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.check_folder import ANEW
from motiongpt3_jax.inference.digests import check_file_digest
from motiongpt3_jax.inference.folder import ModelFolder
from motiongpt3_jax.interop import TIED, from_official, parameter_shapes
from motiongpt3_jax.motion.lfs import refuse_lfs_pointer
from motiongpt3_jax.motion.saving import whole_file
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3Config
from motiongpt3_jax.systems.motiongpt3.modules import latent_state
from motiongpt3_jax.training.restore import restore_variables

WEIGHTS = "model.safetensors"
FORMAT = "1"
STATE = "state."


def read_variables(
    folder: ModelFolder, config: MotionGPT3Config, which: Literal["last", "best"] = "last"
) -> tuple[str, int, Variables]:
    """(stage, step, variables) of a run's newest stage, or of an exported model, as numpy arrays.

    Raises:
      FileNotFoundError: there is no such checkpoint.
      UserError: the weights are damaged, or do not fit the model's config.
    """
    path = folder.path / WEIGHTS
    if not path.is_file() or (folder.path / "checkpoints").is_dir():
        stage, step, variables = restore_variables(folder.path, which=which)
        check_variables(f"checkpoint {step} of stage {stage!r} in '{folder.path}'", variables, config)
        return stage, step, variables
    if which == "best":
        raise FileNotFoundError(f"'{folder.path}' is an exported model, which has one set of weights: leave --best out")
    found = read_weights(path, config)
    if WEIGHTS not in folder.sha256:
        print(f"note: '{folder.path}' has no digests of its files, so damage may go unnoticed", file=sys.stderr)
    check_file_digest(folder.path, WEIGHTS, folder.sha256)
    return found


def read_weights(path: Path, config: MotionGPT3Config) -> tuple[str, int, Variables]:
    """(stage, step, variables) of an exported model's weights.

    Raises:
      UserError: the file is damaged, is none of ours, or does not fit the config; says which.
    """
    refuse_lfs_pointer(path, f"'{path}'")
    try:
        with safe_open(path, framework="numpy") as file:
            said = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dictionary)
    except (SafetensorError, OSError) as error:
        raise UserError(f"'{path}' is damaged ({error}); export or download it anew") from None
    if said.get("format_version") != FORMAT:
        raise UserError(
            f"'{path}' has format {said.get('format_version')!r} where {FORMAT!r} is read: if it is another program's, "
            "use `motiongpt3 import`; if it is newer, update this one"
        )
    state = {name: tensors.pop(STATE + name, None) for name in jax.eval_shape(lambda: latent_state(config))}
    missing = [STATE + name for name, array in state.items() if array is None]
    missing += [f"{name} in its metadata" for name in ("stage", "step") if name not in said]
    if missing:
        raise UserError(f"'{path}' has no {' and no '.join(missing)}; export the model anew")
    if not re.fullmatch(r"[0-9]{1,18}", said["step"]):
        raise UserError(f"'{path}' has the step {said['step']!r}, which is no number; {ANEW}")
    try:
        variables = Variables(from_official(tensors, config), state)
    except UserError as error:
        raise UserError(f"'{path}' is damaged, or of another model: {error}") from None
    check_variables(f"'{path}'", variables, config)
    return said["stage"], int(said["step"]), variables


def check_variables(where: str, variables: Variables, config: MotionGPT3Config) -> None:
    """Raises UserError when arrays are missing, are not finite, or have other shapes than the config says.

    Args:
      where: what holds them, as errors name it.
      variables: the arrays.
      config: the model's sizes.
    """
    found = flatten_dict(variables.params, sep="/") | {STATE + name: x for name, x in variables.state.items()}
    expected = parameter_shapes(config)
    expected |= {STATE + name: x.shape for name, x in jax.eval_shape(lambda: latent_state(config)).items()}
    for name, shape in expected.items():
        if name not in found:
            raise UserError(f"{where} has no {name}: it is damaged, or is of another model; {ANEW}")
        array = np.asarray(found[name])
        if array.shape != shape:
            raise UserError(f"{where} has {name} of shape {array.shape}, and the config's sizes say {shape}; {ANEW}")
        if not np.all(np.isfinite(array)):
            raise UserError(f"{where} is damaged: {name} holds values that are not finite; {ANEW}")
    if np.any(np.asarray(variables.state["latent_square"]) < 0):
        raise UserError(f"{where} is damaged: its latents have squares below 0; {ANEW}")


def write_weights(
    path: Path, tensors: Mapping[str, np.ndarray], state: Mapping[str, np.ndarray], trained: tuple[str, int]
) -> None:
    """Writes the weights of an exported model; they appear whole or not at all.

    Args:
      path: the file.
      tensors: by their official names; tied copies are left out.
      state: the system's state.
      trained: the stage and step that the arrays come from.
    """
    named = {name: tensor for name, tensor in tensors.items() if name not in TIED}
    named |= {STATE + name: array for name, array in state.items()}
    with whole_file(path, ".safetensors") as fresh:
        fresh.touch()
        mode = fresh.stat().st_mode  # the library's own lets nobody else read
        save_file(
            {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in named.items()},
            fresh,
            metadata={"format": "pt", "format_version": FORMAT, "stage": trained[0], "step": str(trained[1])},
        )
        fresh.chmod(mode)
