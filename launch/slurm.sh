#!/usr/bin/env bash
#SBATCH --job-name=motiongpt3
#SBATCH --ntasks-per-node=1
#SBATCH --signal=TERM@120
#SBATCH --requeue
# Two minutes before the limit the job saves and ends; Slurm queues it again and it continues.
set -euo pipefail
exec srun motiongpt3 train --distributed "$@"
