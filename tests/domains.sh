#!/bin/sh
# test
# timeout: 600
# args: @build@/tests exactness trainer_gpt2 run-memory optimizer-sharded policy-precision
# Once more, tests of what no layout may change: where ranks share no memory, and where two domains
# of two do.
#   domains.sh FOLDER PROGRAM...
set -u
run="mpirun -q --allow-run-as-root --oversubscribe --bind-to none --mca mpi_yield_when_idle 1"
failed=0
folder=$1
shift
for program; do
  for setting in '1 2' '2 4' '1 4'; do
    set -- $setting
    echo "TESSERA_DOMAIN=$1, $2 ranks: $program"
    TESSERA_DOMAIN=$1 OMP_NUM_THREADS=1 $run -n "$2" "$folder/$program" || failed=1
  done
done
exit $failed
