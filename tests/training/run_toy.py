"""Trains the toy: run_toy.py RUN_DIR STEPS SECONDS_PER_STEP [PROCESS COUNT PORT [DATA FSDP TENSOR ROWS [interleaved]]].

A process of its own, so that tests can kill it. The environment's STEP_TIMEOUT is that of its hooks.
"""

import os
import sys
import time
from collections.abc import Iterator

import jax

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.commands.training import exit_as_training_ends
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.parallel import initialize_distributed, make_mesh
from motiongpt3_jax.training import Hooks, run
from tests.training.toy import ToyData, ToySystem, two_stages


class SlowData(ToyData):
    def batches(self, start_step: int) -> Iterator[Batch]:
        for batch in super().batches(start_step):
            time.sleep(float(sys.argv[3]))
            yield batch


def main() -> None:
    run_dir, steps, _, *process = sys.argv[1:]
    if process:
        initialize_distributed(f"localhost:{process[2]}", int(process[1]), int(process[0]))
    data, fsdp, tensor, rows = map(int, process[3:7] or (jax.device_count(), 1, 1, 4))
    # As on a torus, where the devices of one process need not be neighbours on the mesh.
    devices = sorted(jax.devices(), key=lambda device: device.id % 2) if process[7:] else None
    mesh = make_mesh(data, fsdp, tensor, devices=devices)
    stages = two_stages(int(steps))
    try:
        data = SlowData(rows=rows, mesh=mesh)
        with exit_as_training_ends():
            hooks = Hooks(show_every=0, step_timeout=float(os.environ.get("STEP_TIMEOUT", "0")))
            run(ToySystem(), stages, lambda stage: data, run_dir, mesh=mesh, hooks=hooks)
    except UserError as stopped:
        sys.exit(f"{stopped}")


if __name__ == "__main__":
    main()
