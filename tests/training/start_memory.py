"""Memory that a run takes which begins with a frozen base in safetensors: start_memory.py FOLDER DTYPE LAYERS WIDTH.

A process of its own, whose devices are those that XLA_FLAGS asks for. Prints JSON: bytes of the base's files, the most
bytes of its own (none of the mapped files) that the process had beyond those before, and after one update. Where the
run is there already, it is loaded as a model is that answers.
"""

import json
import re
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from motiongpt3_jax.inference.on_mesh import put_variables
from motiongpt3_jax.parallel import ShardingOptions, make_mesh
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.tensors.name_table import Entry, NameTable
from motiongpt3_jax.tensors.stored_tensors import open_tensors, stored_params
from motiongpt3_jax.training import Hooks, Outside, restore_variables, run
from tests.training.toy import ToyData, ToySystem, adamw, stage

BASE = "base/layers/text/up/kernel"
SPLIT = ShardingOptions(whole_below=0, reduce_dtype="compute")


@dataclass(frozen=True)
class OnBase(ToySystem):
    """The toy beside a large frozen kernel."""

    layers: int = 1
    width: int = 1
    dtypes: tuple[tuple[str, str], ...] = ()

    def init(self, rng: jax.Array) -> Variables:
        toy = super().init(rng)
        kernel = jnp.zeros((self.layers, self.width, self.width))
        return toy.replace(params={**toy.params, "base": {"layers": {"text": {"up": {"kernel": kernel}}}}})


class OwnMemory:
    """The most memory of this process alone, in bytes, looked at all the time; a context."""

    def __init__(self) -> None:
        self.most, self.ended = 0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    @staticmethod
    def now() -> int:
        """Bytes now."""
        return int(re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) << 10

    def _watch(self) -> None:
        while not self.ended.is_set():
            self.most = max(self.most, self.now())
            time.sleep(0.002)

    def __enter__(self) -> "OwnMemory":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()


def write_shards(folder: Path, layers: int, width: int) -> list[Path]:
    """A base in two files, bfloat16, and what `open_tensors` takes."""
    folder.mkdir(parents=True)
    for number in range(2):
        tensors = {
            f"{layer}.up.weight": np.full((width, width), layer + 1, jnp.bfloat16) for layer in range(number, layers, 2)
        }
        save_file(tensors, folder / f"model-{number}.safetensors")
    return sorted(folder.glob("*.safetensors"))


def main() -> None:
    """Begins a run, and takes one step; or loads it."""
    folder, dtype, layers, width = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:5])
    load = (folder / "run").is_dir()
    files = sorted((folder / "base").glob("*.safetensors")) if load else write_shards(folder / "base", layers, width)
    entries = (Entry(f"{n}.up.weight", BASE, (width, width), "transposed", n) for n in range(layers))
    table = NameTable(tuple(entries))
    system = OnBase(layers=layers, width=width, dtypes=((BASE, dtype),))
    one = stage(trainable=("body/.*", "head/.*"), steps=1, optimizer=adamw())
    outside = [Outside(("base/.*",), folder / "base", tuple(file.name for file in files))]
    mesh = make_mesh(1, jax.device_count(), 1)
    settings = {"mesh": mesh, "outside": outside, "sharding": SPLIT, "hooks": Hooks(show=lambda _: None)}
    jax.block_until_ready(jnp.zeros(1) + 1)
    before, seen = OwnMemory.now(), []

    def initial(_: jax.Array) -> Variables:
        return Variables(stored_params(open_tensors(files), table))

    with OwnMemory() as memory:
        if load:
            _, _, stored = restore_variables(folder / "run", read_outside=lambda _: initial(None).params)
            seen.append(put_variables(mesh if mesh.size > 1 else None, system, stored, "the run"))
        else:
            run(system, [one], lambda _: seen.append(0) or ToyData(rows=8), folder / "run", initial=initial, **settings)
    base = sum(file.stat().st_size for file in files)
    print(json.dumps({"base": base, "peak": memory.most - before, "after": OwnMemory.now() - before}))


if __name__ == "__main__":
    main()
