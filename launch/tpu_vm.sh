#!/usr/bin/env bash
# Trains on a Cloud TPU slice (gcloud compute tpus tpu-vm), on all of its hosts:
#   export TPU=motion ZONE=us-west4-a TYPE=v5litepod-16
#   launch/tpu_vm.sh create
#   launch/tpu_vm.sh install
#   launch/tpu_vm.sh run --config motiongpt3:base --workdir /shared/runs/base
#   launch/tpu_vm.sh stop      # SIGTERM: the run saves and ends, and the same `run` continues it
#   launch/tpu_vm.sh delete
# --dry-run as the first word prints the commands, and does nothing. The run's folder must be one that every host sees.
# Variables, beside TPU, ZONE and TYPE:
#   RUNTIME  software of the hosts (default: v2-alpha-tpuv5-lite, that of v5e; v2-alpha-tpuv5 for v5p, v2-alpha-tpuv6e)
#   SPOT     yes for spot capacity, which may be taken away at any time
#   SOURCE   what is installed, such as git+https://... (default: the last commit of this checkout, copied to the hosts)
set -euo pipefail

dry_run=''
if [[ ${1:-} == --dry-run ]]; then dry_run=yes && shift; fi
verb=${1:-}
shift || true
: "${TPU:?name the slice: export TPU=motion}" "${ZONE:?name its zone: export ZONE=us-west4-a}"
here=$(cd "$(dirname "$0")/.." && pwd)

do_it() {
  if [[ -n $dry_run ]]; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}
tpu_vm() { do_it gcloud compute tpus tpu-vm "$1" "$TPU" --zone="$ZONE" "${@:2}"; }
on_all_hosts() { tpu_vm ssh --worker=all --command="$1"; }

case $verb in
  create)
    : "${TYPE:?name the slice: export TYPE=v5litepod-16}"
    options=(--accelerator-type="$TYPE" --version="${RUNTIME:-v2-alpha-tpuv5-lite}")
    if [[ ${SPOT:-} == yes ]]; then options+=(--spot); fi
    tpu_vm create "${options[@]}"
    ;;
  install)
    unpack='' package="motiongpt3_jax[tpu] @ ${SOURCE:-}"
    if [[ -z ${SOURCE:-} ]]; then
      archive=${TMPDIR:-/tmp}/motiongpt3_jax.$$.tar.gz
      do_it git -C "$here" archive --format=tar.gz --output="$archive" HEAD
      do_it gcloud compute tpus tpu-vm scp "$archive" "$TPU:motiongpt3_jax.tar.gz" --zone="$ZONE" --worker=all
      rm -f "$archive"
      unpack='rm -rf motiongpt3_jax && mkdir motiongpt3_jax && tar -xzf motiongpt3_jax.tar.gz -C motiongpt3_jax && '
      package='./motiongpt3_jax[tpu]'
    fi
    # The hosts' own Python may be too old: uv brings one.
    uv='python3 -m pip install --quiet --user uv && python3 -m uv venv --quiet --clear --python 3.12 venv && python3 -m uv'
    on_all_hosts "$unpack$uv pip install --quiet --python venv/bin/python $(printf '%q' "$package")"
    ;;
  run)
    if (($# == 0)); then
      echo "tpu_vm.sh run: give the arguments of motiongpt3 train, such as --config motiongpt3:base --workdir RUN" >&2
      exit 2
    fi
    on_all_hosts "venv/bin/motiongpt3 train $(printf '%q ' "$@")--distributed"
    ;;
  stop)
    # The brackets keep the pattern from matching the shell that looks for it.
    on_all_hosts "pkill -TERM -f 'bin/[m]otiongpt3 train' || true"
    ;;
  delete)
    tpu_vm delete --quiet
    ;;
  *)
    echo "tpu_vm.sh: give create, install, run, stop or delete" >&2
    exit 2
    ;;
esac
