#!/usr/bin/env bash
# Trains on this machine's devices, or on simulated ones:
#   launch/local.sh --config motiongpt3:tiny --workdir runs/tiny
#   launch/local.sh --devices 8 --config motiongpt3:test --workdir runs/test            # 8 simulated devices
#   launch/local.sh --devices 2 --processes 4 --config motiongpt3:test --workdir runs/t  # 2 in each of 4 processes
# Options come first:
#   --devices N    simulate N devices of each process on the CPU; without it, the real ones
#   --processes N  so many processes, which find each other on this machine (default: 1)
#   --dry-run      print the commands, and do nothing
# SIGTERM and Ctrl-C reach every process; the status is the first that is not 0, as `motiongpt3 train --help` lists them.
set -euo pipefail

devices='' processes=1 dry_run=''
while (($#)); do
  case $1 in
    --devices) devices=${2:?--devices needs a number} && shift 2 ;;
    --processes) processes=${2:?--processes needs a number} && shift 2 ;;
    --dry-run) dry_run=yes && shift ;;
    *) break ;;
  esac
done
for number in "${devices:-1}" "$processes"; do
  if ! [[ $number =~ ^[1-9][0-9]*$ ]]; then
    echo "local.sh: $number is no number of devices or processes" >&2
    exit 2
  fi
done
if (($# == 0)); then
  echo "local.sh: give the arguments of motiongpt3 train, such as --config motiongpt3:tiny --workdir runs/tiny" >&2
  exit 2
fi

if [[ -n $devices ]]; then
  export JAX_PLATFORMS=cpu
  export XLA_FLAGS="${XLA_FLAGS:-} --xla_force_host_platform_device_count=$devices"
fi

# Each process gets its arguments, and where there are several the place to meet and its number.
port=$((20000 + RANDOM % 20000))
arguments_of() {
  command=(motiongpt3 train "${@:2}")
  if ((processes > 1)); then command+=(--distributed "localhost:$port" "$processes" "$1"); fi
}

if [[ -n $dry_run ]]; then
  if [[ -n $devices ]]; then printf 'export JAX_PLATFORMS=cpu XLA_FLAGS=%q\n' "$XLA_FLAGS"; fi
  for ((i = 0; i < processes; i++)); do
    arguments_of "$i" "$@"
    printf '%q ' "${command[@]}"
    echo
  done
  exit
fi

if ((processes == 1)); then exec motiongpt3 train "$@"; fi

children=()
for ((i = 0; i < processes; i++)); do
  arguments_of "$i" "$@"
  "${command[@]}" &
  children+=($!)
done
trap 'kill -TERM "${children[@]}" 2>/dev/null || true' TERM INT

status=0
for child in "${children[@]}"; do
  ended=0
  wait "$child" || ended=$?
  # A signal ends the wait, not the process.
  while ((ended > 128)) && kill -0 "$child" 2>/dev/null; do
    ended=0
    wait "$child" || ended=$?
  done
  if ((status == 0)); then status=$ended; fi
done
exit "$status"
