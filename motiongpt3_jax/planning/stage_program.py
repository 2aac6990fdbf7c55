"""The train step of a stage as it would run on a mesh, from shapes alone, and what the compiler makes of it."""

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
from jax.sharding import AbstractMesh, Mesh

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.data_pipelines.packing import empty
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.check_config import trained_tokenizer
from motiongpt3_jax.experiment.config import RunConfig
from motiongpt3_jax.experiment.run import make_stage
from motiongpt3_jax.models.remat import NONE
from motiongpt3_jax.motion import HUMANML3D, KIT, Skeleton
from motiongpt3_jax.parallel import make_constrain
from motiongpt3_jax.parallel.sharding import path_name, row_shards
from motiongpt3_jax.parallel.topology import FAST_COMPILE
from motiongpt3_jax.planning.results import Memory
from motiongpt3_jax.planning.traced_flops import jaxpr_flops
from motiongpt3_jax.systems.attention import choose_attention
from motiongpt3_jax.systems.interface import ModelSpec, System
from motiongpt3_jax.systems.registry import find_system
from motiongpt3_jax.text import load_tokenizer
from motiongpt3_jax.text.tokenizer import blank_tokenizer
from motiongpt3_jax.training import Stage
from motiongpt3_jax.training.program import Program, make_program

SKELETON_OF: Mapping[str, Skeleton] = {"kit_ml": KIT}
"""Skeletons of sources of clips; others have HumanML3D's."""

CONSTANT = re.compile(r"dense<[-+.\dEeXxA-Fa-f]+> : tensor<f32>")
"""Numbers in a lowered program, such as a learning rate."""

NEEDED = re.compile(r"[Uu]sed ([\d.]+)([KMGT]?) of|program requires ([\d.]+)([KMGT]?)|\(([\d.]+)([KMGT])\) exceeds")
"""In the compiler's message that a program does not fit: how much it would take."""

UNITS: Mapping[str, int] = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class StageProgram:
    """The train step of a stage on a mesh.

    Attributes:
      stage: the stage.
      rows: of a global batch.
      system: pinned to the mesh.
      plain: the same system without recomputation, for one device.
      program: its jitted functions.
      variables, batch: shapes.
    """

    stage: Stage
    rows: int
    system: System
    plain: System
    program: Program
    variables: Any
    batch: Any


def model_spec(config: RunConfig, words: int | None = None) -> ModelSpec:
    """The model of a config without its data: features of the source's skeleton, a vocabulary of the right size.

    Args:
      config: the config.
      words: ids of the tokenizer that the config names, where it is not at hand.

    Raises:
      UserError: the tokenizer is not there, and nobody says how large it is.
    """
    kind, values = find_system(config.system), config.values
    skeleton = SKELETON_OF.get(config.data.source, HUMANML3D)
    tokens = kind.tokens and kind.tokens(values)
    if tokens is None:
        return ModelSpec(values, skeleton.features, None, skeleton.fps)
    trained = trained_tokenizer(config.tokenizer)
    if trained is not None:
        words = trained.size + len(tokens.sentinels)
    if words is None:
        try:
            words = load_tokenizer(config.tokenizer, tokens).base_vocabulary
        except (UserError, OSError) as error:
            raise UserError(f"{error}; or say how many ids it has: --words 50257 are GPT-2's, 32100 T5's") from None
    return ModelSpec(values, skeleton.features, blank_tokenizer(tokens, words), skeleton.fps)


def stage_rows(config: RunConfig, stage: str, axes: Mapping[str, int]) -> int:
    """Rows of a stage's batch over all devices of a mesh."""
    rows = config.stages[stage].rows
    return rows * row_shards(axes) if config.mesh.rows == "per_shard" else rows


def make_stage_program(config: RunConfig, name: str, spec: ModelSpec, mesh: Mesh | AbstractMesh) -> StageProgram:
    """The train step of a stage; nothing is computed, and nothing compiled. Only that of devices can be compiled."""
    kind, stage = find_system(config.system), make_stage(name, config)
    constrain = make_constrain(config.mesh.sharding)
    # Chips that are not there are TPUs.
    platform = "tpu" if isinstance(mesh, AbstractMesh) else mesh.devices.flat[0].platform
    system = kind.make_system(choose_attention(spec, platform), constrain if mesh.size > 1 else None)
    rows = stage_rows(config, name, mesh.shape)
    batch = batch_shapes(config, name, spec, rows)
    variables = system.shapes
    inside = jax.sharding.use_abstract_mesh if isinstance(mesh, AbstractMesh) else jax.set_mesh
    with inside(mesh):
        program = make_program(system, stage, mesh, config.seed, variables, batch, config.mesh.sharding)
    return StageProgram(stage, rows, system, kind.make_system(without_remat(spec)), program, variables, batch)


def batch_shapes(config: RunConfig, name: str, spec: ModelSpec, rows: int) -> Batch:
    """Shapes of a batch of a stage."""
    kind, section = find_system(config.system), config.values["stages"][name]
    shape = kind.row_shape(section)
    if encoder := kind.clip_encoder(section, spec):
        shape = encoder.row_shape(shape)
    one = empty(1, shape, kind.layout(section, spec).schema, spec.features)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype), one)


def without_remat(spec: ModelSpec) -> ModelSpec:
    """The same model, whose backward pass computes nothing again."""

    def off(values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        # What a scan over layers would compute again, too.
        changed = {"remat": NONE, "scan": False}
        return {name: changed.get(name, off(value)) for name, value in values.items()}

    return replace(spec, config={**spec.config, "model": off(spec.config["model"])})


@dataclass(frozen=True)
class Lowered:
    """A traced program.

    Attributes:
      lowered: what compiles.
      same: equal for programs that differ in constants alone, such as learning rates.
      seconds: that tracing took.
      kernel_flops: of the products of its Pallas kernels, on a chip.
    """

    lowered: jax.stages.Lowered
    same: int
    seconds: float
    kernel_flops: float


def lower(stage: StageProgram, mesh: Mesh) -> Lowered:
    """Traces the train step of a stage."""
    start, program = time.monotonic(), stage.program
    with jax.set_mesh(mesh):
        traced = program.step.trace(program.state, program.frozen, stage.batch)
        lowered = traced.lower()
    same = hash(CONSTANT.sub("", lowered.as_text()))
    return Lowered(lowered, same, time.monotonic() - start, jaxpr_flops(traced.jaxpr.jaxpr, kernels=True))


@dataclass(frozen=True)
class Compiled:
    """A compiled program.

    Attributes:
      text: its HLO; None where it does not fit into the memory.
      memory: the compiler's statistics; None likewise.
      needed: bytes that it would take where it does not fit; None where it fits, or the compiler does not say.
      seconds: that compiling took.
    """

    text: str | None
    memory: Any
    needed: float | None
    seconds: float


def compile_lowered(lowered: jax.stages.Lowered, tpu: bool, full: bool) -> Compiled:
    """Compiles a program, which may turn out not to fit."""
    start = time.monotonic()
    try:
        compiled = lowered.compile(compiler_options=dict(FAST_COMPILE) if tpu and not full else None)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return Compiled(None, None, needed_bytes(str(error)), time.monotonic() - start)
    return Compiled(compiled.as_text(), compiled.memory_analysis(), None, time.monotonic() - start)


def needed_bytes(message: str) -> float | None:
    """The largest size that the compiler's message says a program takes."""
    sizes = [(a or b or c, d or e or f) for a, d, b, e, c, f in NEEDED.findall(message)]
    return max((float(size) * UNITS[unit] for size, unit in sizes), default=None)


def memory_of(stage: StageProgram, compiled: Compiled, capacity: float | None) -> Memory:
    """Memory of a chip: what the compiler counts, and what of it are parameters and optimizer."""
    state = stage.program.state
    params = chip_bytes(state.params) + chip_bytes(state.ema)
    return compiled_memory(compiled, capacity, params, chip_bytes(state.optimizer), chip_bytes(stage.program.frozen))


def compiled_memory(
    compiled: Compiled, capacity: float | None, parameters: float, optimizer: float = 0.0, frozen: float = 0.0
) -> Memory:
    """Memory of a chip that runs a compiled program with so many bytes of parameters and optimizer state."""
    exact = {"parameters": parameters, "optimizer": optimizer, "frozen": frozen}
    if compiled.memory is None:
        return Memory(capacity, compiled.needed, sum(exact.values()), 0.0, 0.0, **exact)
    found = compiled.memory
    kept = found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
    program = found.generated_code_size_in_bytes if capacity else 0
    # The compiler's own peak leaves out what lies there all the time on some backends.
    peak = kept + found.temp_size_in_bytes + program
    return Memory(capacity, peak, found.argument_size_in_bytes, found.temp_size_in_bytes, program, **exact)


def chip_bytes(tree: Any) -> float:
    """Bytes of a tree of sharded shapes on one device."""
    return float(sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree)))


def array_rows(stage: StageProgram) -> Sequence[Mapping[str, Any]]:
    """Each parameter of a stage: path, shape, dtype, how it is split, bytes on a device, whether it trains."""
    rows = []
    for trains, tree in ((True, stage.program.state.params), (False, stage.program.frozen)):
        for path, x in jax.tree.leaves_with_path(tree):
            split = [axis if axis is None or isinstance(axis, str) else "+".join(axis) for axis in x.sharding.spec]
            rows.append(
                {
                    "path": path_name(path),
                    "shape": list(x.shape),
                    "dtype": str(x.dtype),
                    "split": split,
                    "bytes_per_chip": chip_bytes(x),
                    "trains": trains,
                }
            )
    return sorted(rows, key=lambda row: row["path"])
