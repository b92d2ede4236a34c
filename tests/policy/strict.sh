#!/bin/sh
# test
# timeout: 240
# args: @build@/tests/policy-strict
# Strict: 1, 2 and 4 ranks leave the same bits.   strict.sh PROGRAM   where PROGRAM is strict.cpp
set -eu
export OMP_NUM_THREADS=1 STRICT_RESULTS
STRICT_RESULTS=$(mktemp -d)
trap 'rm -rf "$STRICT_RESULTS"' EXIT
for ranks in 1 2 4; do
  mpirun -q --allow-run-as-root --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 \
    -n "$ranks" "$1"
done
