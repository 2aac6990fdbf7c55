"""Import of a LoRA adapter that PEFT wrote, into one of our models."""

from dataclasses import replace
from pathlib import Path

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.exported import require_free, write_exported
from motiongpt3_jax.inference.folder import ModelFolder, read_folder, resolve_model
from motiongpt3_jax.inference.weights import open_variables
from motiongpt3_jax.interop.peft_adapter import is_peft, read_peft
from motiongpt3_jax.places import require_room
from motiongpt3_jax.systems.adapters import NAME
from motiongpt3_jax.training.partition import merge
from motiongpt3_jax.values import check_value


def import_adapter(source: str | Path, base: str | Path, out: str | Path, name: str) -> ModelFolder:
    """Writes a model with an adapter more.

    Args:
      source: the adapter's folder, as PEFT writes it, or its name on the hub.
      base: the model that it adapts, one of ours: a run's folder, an exported one's, or a name on the hub.
      out: the folder to write.
      name: of the adapter in the model.

    Raises:
      FileNotFoundError: one of them is not there.
      FileExistsError: something else lies at `out`.
      UserError: the adapter does not fit the model, or there is one of this name; says what to do.
    """
    out = require_free(out)
    require_room("--out", out, "a folder")
    check_value("--adapter", name, NAME)
    place, folder = resolve_model(source), _read_base(base)
    if not is_peft(place):
        raise UserError(
            f"--from {source}: with --base this is the folder of a LoRA adapter, which has adapter_config.json"
        )
    model = folder.config["model"]
    if name in model.get("lora", {}):
        raise UserError(f"--base {base} has an adapter {name!r} already: give this one another name with --adapter")
    section, params = read_peft(place, folder, name)
    stage, step, variables = open_variables(folder)
    config = {**folder.config, "model": {**model, "lora": {**model["lora"], name: section}}}
    variables = variables.replace(params=merge(params, variables.params))
    adapted = replace(folder, config=config)
    return write_exported(out, adapted, variables, (stage, step))


def _read_base(base: str | Path) -> ModelFolder:
    try:
        return read_folder(resolve_model(base))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"--base: {error}") from error
