#!/usr/bin/env bash
#SBATCH --job-name=motiongpt3
#SBATCH --ntasks-per-node=1
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
# One process on each node, with all of the node's GPUs:
#   sbatch --nodes=2 --gpus-per-node=8 launch/slurm.sh --config motiongpt3:base --workdir RUN
# Two minutes before the time limit this script gets SIGTERM: the processes save and end, and the job queues again,
# where the same command continues. A job that ends by itself, well or badly, does not queue again.
set -euo pipefail

# srun does not take it from the job.
if [[ -n ${SLURM_CPUS_PER_TASK:-} ]]; then export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK; fi

limit_reached=
# Not through srun, which kills its tasks on SIGTERM: scancel signals the tasks and leaves this script alone.
trap 'limit_reached=yes; scancel --signal=TERM "$SLURM_JOB_ID" || kill -TERM "$training"' TERM

srun motiongpt3 train --distributed "$@" &
training=$!

status=0
wait "$training" || status=$?
if [[ -n $limit_reached ]]; then # the signal ended the wait, not the training
  trap '' TERM
  status=0
  wait "$training" || status=$?
fi

if [[ -n $limit_reached && $status -ne 0 ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
