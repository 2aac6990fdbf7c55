"""Trains the toy: run_toy.py RUN_DIR STEPS SECONDS_PER_STEP [PROCESS COUNT PORT].

A process of its own, so that tests can kill it.
"""

import sys
import time
from collections.abc import Iterator

import jax

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.training import Hooks, TrainingInterrupted, run
from tests.training.toy import ToyData, ToySystem, two_stages


class SlowData(ToyData):
    def batches(self, start_step: int) -> Iterator[Batch]:
        for batch in super().batches(start_step):
            time.sleep(float(sys.argv[3]))
            yield batch


def main() -> None:
    process = (0, 1)
    if len(sys.argv) > 4:
        process = (int(sys.argv[4]), int(sys.argv[5]))
        jax.distributed.initialize(f"localhost:{sys.argv[6]}", process[1], process[0])
    data, stages = SlowData(process=process), two_stages(int(sys.argv[2]))
    try:
        run(ToySystem(), stages, lambda stage: data, sys.argv[1], hooks=Hooks(show_every=0))
    except TrainingInterrupted as stopped:
        sys.exit(f"{stopped}")


if __name__ == "__main__":
    main()
