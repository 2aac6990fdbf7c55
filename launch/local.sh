#!/usr/bin/env bash
# Trains on this machine's devices: launch/local.sh --config motiongpt3:tiny --workdir runs/tiny
set -euo pipefail
exec motiongpt3 train "$@"
