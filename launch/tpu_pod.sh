#!/usr/bin/env bash
# Runs the same command on every host of a TPU slice: launch/tpu_pod.sh NAME ZONE --config motiongpt3:base --workdir RUN
set -euo pipefail
name=$1 zone=$2
shift 2
exec gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all \
  --command="motiongpt3 train --distributed $(printf '%q ' "$@")"
