#!/usr/bin/env bash
# test
# timeout: 240
# State by path and checkpoints once more, on ranks that share no memory.
set -eu
export TESSERA_DOMAIN=1 OMP_NUM_THREADS=1
for program in parameters checkpoint generator; do
  mpirun --allow-run-as-root --oversubscribe --bind-to none -q -n 2 \
    "$TESSERA_BIN/tests/run-$program"
done
