"""Answers of small models on one device and on meshes of eight, and a start from a checkpoint on such a mesh, as JSON.

python -m tests.inference.eight_devices FOLDER start captions gpt2 llama
"""

import json
import math
import sys
import warnings
from pathlib import Path

import jax
import numpy as np

from motiongpt3_jax.inference import on_mesh
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.motion import Motion
from motiongpt3_jax.motion.notes import Note
from motiongpt3_jax.parallel import ShardingOptions, constrain, make_mesh, sharding
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.language_models import language_model_table
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3
from motiongpt3_jax.systems.motiongpt3.build import build_config, sizes_of
from motiongpt3_jax.tensors.stored_tensors import stored_params
from motiongpt3_jax.training.partition import merge
from motiongpt3_jax.training.starts import RunStart
from tests.inference.models import exported_model
from tests.systems.llama import IDS, LLAMA, random_tensors, spec_of

SPLIT = ShardingOptions(whole_below=0, reduce_dtype="compute")
SENTENCES = ["a person walks", "a man sits down", "someone jumps", "a woman waves", "he runs"]
MESHES = ({"data": 2, "fsdp": 2, "tensor": 2}, {"tensor": 2})


def answers(model: Model) -> tuple[np.ndarray, list[str]]:
    """Motions of sentences, and captions of motions."""
    motions = model.generate(SENTENCES, frames=24, seed=3, steps=4, guidance_scale=2.0)
    return np.stack([motion.joints for motion in motions]), captions(model, 3)


def captions(model: Model, count: int) -> list[str]:
    """Captions of so many motions."""
    still = np.tile(np.random.default_rng(0).normal(size=(1, 22, 3)), (30, 1, 1)).astype(np.float32)
    return model.caption([Motion((still * (1 + n / 10))[None], 20.0) for n in range(count)], max_new=8)


def compare_captions(folder: Path) -> list[list[str]]:
    """A caption of a Llama on one device, and on two that share its heads."""
    exported, _ = exported_model(folder, *LLAMA)
    return [captions(Model.load(exported.path, mesh=axes), 1) for axes in (None, {"tensor": 2})]


def compare(folder: Path, overrides: tuple[str, ...], meshes: tuple[dict[str, int], ...]) -> list[dict]:
    """How far a model on each mesh is from the same on one device."""
    exported, _ = exported_model(folder, *overrides)
    motions, texts = answers(Model.load(exported.path))
    found = []
    for axes in meshes:
        model = Model.load(exported.path, mesh=axes)
        others, other_texts = answers(model)
        kernel = model.engine.variables.params["head"]["blocks"][0]["mlp_in"]["kernel"].array
        parts = {shard.data.size for shard in kernel.addressable_shards}
        found.append(
            {
                "far": float(np.abs(others - motions).max()),
                "large": float(np.abs(motions).max()),
                "texts": texts,
                "other_texts": other_texts,
                "devices": len(kernel.addressable_shards),
                "share": max(parts) / kernel.size,
            }
        )
    return found


class Counted:
    """A tensor that notes how many numbers are asked of it at a time."""

    def __init__(self, array: np.ndarray):
        self.array, self.shape, self.asked = array, array.shape, []

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        self.asked.append(self.array[index].size)
        return self.array[index]


def start(folder: Path) -> dict:
    """A run's start from a Llama on 2 x 2 x 2 devices: what is read of each tensor, and whether it is what one has."""
    spec, tensors = spec_of(), {name: Counted(x) for name, x in random_tensors().items()}
    config = build_config(spec.config["model"], **sizes_of(spec))
    table = language_model_table(config.decoder, IDS, IDS, config.tied, "vocabulary/text")
    stored, mesh = stored_params(tensors, table), make_mesh(2, 2, 2)
    system = MotionGPT3(config, constrain)
    begin = RunStart(system, mesh, folder, 0, lambda key: Variables(stored, {}), (), SPLIT)
    with jax.set_mesh(mesh):
        variables = begin.variables({})
    read = {name: [sum(x.asked), max(x.asked), math.prod(x.shape)] for name, x in tensors.items()}
    fresh = jax.jit(MotionGPT3(config).init)(jax.random.key(0)).params
    wanted = merge(jax.tree.map(np.asarray, stored), fresh)
    same = jax.tree.map(lambda one, other: bool(np.allclose(one, other, atol=1e-6)), variables.params, wanted)
    kernel = variables.params["decoder"]["layers"]["motion"]["up"]["kernel"]
    return {
        "read": read,
        "same": all(jax.tree.leaves(same)),
        "motion_share": kernel.addressable_shards[0].data.size / kernel.size,
    }


def main() -> None:
    """Prints what the test compares."""
    warnings.simplefilter("ignore", Note)
    folder, cases = Path(sys.argv[1]), sys.argv[2:]
    # The arrays of the smallest models are split too.
    sharding.SMALL, on_mesh.SHARDING = 64, SPLIT
    known = {
        "start": start,
        "captions": compare_captions,
        "gpt2": lambda place: compare(place, (), MESHES),
        "llama": lambda place: compare(place, LLAMA, MESHES[:1]),
    }
    print(json.dumps({case: known[case](folder / case) for case in cases}))


if __name__ == "__main__":
    main()
