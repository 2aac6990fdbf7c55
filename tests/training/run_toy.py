"""Trains the toy: run_toy.py RUN_DIR STEPS SECONDS_PER_STEP [PROCESS COUNT PORT [DATA FSDP TENSOR ROWS [interleaved]]].

A process of its own, so that tests can kill it. The environment's STEP_TIMEOUT is that of its hooks.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import numpy as np
from jax.experimental.multihost_utils import process_allgather

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.commands.training import exit_as_training_ends
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.parallel import initialize_distributed, make_mesh
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.training import Hooks, Stage, run
from tests.training.toy import ToyData, ToySystem, two_stages


class SlowData(ToyData):
    def batches(self, start_step: int) -> Iterator[Batch]:
        for batch in super().batches(start_step):
            time.sleep(float(sys.argv[3]))
            yield batch


def write_page(run_dir: str, stage: Stage, step: int, variables: Variables) -> None:
    """A page that says which parameters it shows."""
    gathered = process_allgather(variables, tiled=True) if jax.process_count() > 1 else variables
    if jax.process_index() == 0:
        sums = [float(np.sum(x, dtype=np.float64)) for x in jax.tree.leaves(gathered)]
        page = Path(run_dir) / "samples" / f"{stage.name}_{step}.json"
        page.parent.mkdir(exist_ok=True)
        page.write_text(json.dumps(sums))


def toy_stages(steps: int) -> list[Stage]:
    """Stages of so many steps, with pages of samples."""
    return [replace(stage, sample_every=7) for stage in two_stages(steps)]


def main() -> None:
    run_dir, steps, _, *process = sys.argv[1:]
    if process:
        initialize_distributed(f"localhost:{process[2]}", int(process[1]), int(process[0]))
    data, fsdp, tensor, rows = map(int, process[3:7] or (jax.device_count(), 1, 1, 4))
    # As on a torus, where the devices of one process need not be neighbours on the mesh.
    devices = sorted(jax.devices(), key=lambda device: device.id % 2) if process[7:] else None
    mesh = make_mesh(data, fsdp, tensor, devices=devices)
    try:
        data = SlowData(rows=rows, mesh=mesh)
        with exit_as_training_ends():
            hooks = Hooks(
                samples=partial(write_page, run_dir),
                show_every=0,
                step_timeout=float(os.environ.get("STEP_TIMEOUT", "0")),
            )
            run(ToySystem(), toy_stages(int(steps)), lambda stage: data, run_dir, mesh=mesh, hooks=hooks)
    except UserError as stopped:
        sys.exit(f"{stopped}")


if __name__ == "__main__":
    main()
