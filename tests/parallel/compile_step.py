"""Compiles the train step of a stage for a TPU slice that is not there, and prints what its devices exchange, as JSON.

python -m tests.parallel.compile_step '{"config": "motiongpt3:test", "stage": "vae", "topology": "v5e:4x4", ...}'
"""

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.data_pipelines.packing import empty
from motiongpt3_jax.experiment.check_config import check_config, small_spec
from motiongpt3_jax.experiment.config import RunConfig
from motiongpt3_jax.experiment.run import make_stage
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.parallel import make_constrain, make_mesh, sharding
from motiongpt3_jax.parallel.collectives import read_collectives
from motiongpt3_jax.parallel.sharding import path_name, whole_parts
from motiongpt3_jax.parallel.topology import FAST_COMPILE, slice_devices
from motiongpt3_jax.systems.attention import choose_attention
from motiongpt3_jax.systems.interface import ModelSpec, Variables
from motiongpt3_jax.systems.registry import find_system
from motiongpt3_jax.text import Tokenizer
from motiongpt3_jax.training.partition import matches
from motiongpt3_jax.training.program import Program, make_program

FEATURES = 263
STACKED = re.compile(r"(^|/)(layers|inputs|outputs|blocks)/")
"""Paths of parameters whose first axis counts layers."""


class Words:
    """A tokenizer of another size, as far as shapes go."""

    def __init__(self, tokenizer: Tokenizer, size: int):
        self.tokenizer, self.base_vocabulary, self.size = tokenizer, size, size

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)


def make_step(
    config: RunConfig, stage_name: str, topology: str, axes: Sequence[int], rows: int, words: int
) -> tuple[Program, Variables, Any]:
    """(program of a stage, shapes of the variables, shapes of a batch) on a mesh of a slice."""
    kind, values = find_system(config.system), config.values
    small = small_spec(values)
    spec = ModelSpec(values, FEATURES, Words(small.tokenizer, words))
    mesh = make_mesh(*axes, devices=slice_devices(topology))
    system = kind.make_system(choose_attention(spec, "tpu"), make_constrain(config.mesh.sharding))
    stage, section = make_stage(stage_name, config), values["stages"][stage_name]
    layout = kind.layout(section, small)
    batch = empty(1, kind.row_shape(section), layout.schema, FEATURES)
    count = rows * axes[0] * axes[1]
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape[1:]), x.dtype), batch)
    variables = jax.eval_shape(system.init, jax.random.key(0))
    with jax.set_mesh(mesh):
        return make_program(system, stage, mesh, 0, variables, batch, config.mesh.sharding), variables, batch


def compiled_text(program: Program, batch: Any) -> str:
    """The compiled step."""
    mesh = jax.tree.leaves(program.state)[0].sharding.mesh
    with jax.set_mesh(mesh):
        lowered = program.step.lower(program.state, program.frozen, batch)
    return lowered.compile(compiler_options=dict(FAST_COMPILE)).as_text()


def parameters(variables: Variables, config: RunConfig, stage: str) -> list[dict[str, Any]]:
    """Of each parameter: path, numbers in one layer of it, layers, sizes, whether it is split, whether it trains."""
    whole = [pattern for pattern, _ in whole_parts(variables.params, config.mesh.whole_below)]
    found = []
    for path, x in jax.tree.leaves_with_path(variables.params):
        name = path_name(path)
        layers = x.shape[0] if STACKED.search(name) else 1
        found.append(
            {
                "path": name,
                "numbers": math.prod(x.shape) // layers,
                "layers": layers,
                "rows": x.shape[0] if x.ndim == 2 else 0,
                "width": x.shape[-1] if x.ndim else 0,
                "split": not any(re.fullmatch(pattern, name) for pattern in whole),
                "trains": matches(name, config.stages[stage].trainable),
            }
        )
    return found


def main(options: Mapping[str, Any]) -> None:
    """Prints parameters and collectives."""
    sharding.SMALL = options.get("small", sharding.SMALL)
    config = check_config(plain(load_config(options["config"], options.get("overrides", ())).to_dict()))
    stage = options["stage"]
    program, variables, batch = make_step(
        config, stage, options["topology"], options["axes"], options["rows"], options["words"]
    )
    text = compiled_text(program, batch)
    if "keep" in options:
        with open(options["keep"], "w", encoding="utf-8") as file:
            file.write(text)
    collectives = [
        {
            "kind": one.kind,
            "arrays": [(array.dtype, math.prod(array.shape), array.bytes, str(array)) for array in one.arrays],
            "trips": one.trips,
            "group": one.group,
            "op": one.op_name,
        }
        for one in read_collectives(text)
    ]
    size = jnp.dtype(config.values["model"]["dtype"]).itemsize
    print(json.dumps({"parameters": parameters(variables, config, stage), "collectives": collectives, "size": size}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
