#!/usr/bin/env bash
# test
# timeout: 200
# args: @build@/tests/device-dead_gpu
# A rank on a GPU that dies, hangs or fails ends every rank within 10 s, and one line says which.
set -u
program=$1
failed=0
[[ -e ${CUDA_HOME:-/usr/local/cuda}/include/nccl.h || -e $program ]] || {
  echo "dead_gpu.sh: the CUDA headers are missing"
  exit 77
}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export TESSERA_PATIENCE=3 OMP_NUM_THREADS=1

# check PATTERN HOW: one line matches, every rank has ended, and mpirun has failed.
check() {
  local pattern=$1 how=$2 begin=$SECONDS code left
  ln -sf "$program" "$out/rank.$$"
  timeout 60 mpirun --allow-run-as-root --oversubscribe --bind-to none -q \
    --mca mpi_yield_when_idle 1 -n 2 "$out/rank.$$" "$how" > "$out/text" 2>&1
  code=$?
  left=$(pgrep -fc "^$out/rank\.$$ ")
  if ((code == 0 || SECONDS - begin > 13 || left > 0)) ||
    [[ $(grep -cE "$pattern" "$out/text") -ne 1 ]]; then
    echo "FAILED: $how: code $code, $((SECONDS - begin)) s, $left left: $(cat "$out/text")"
    failed=1
  else
    echo "passed: $how: $((SECONDS - begin)) s, code $code: $(grep -E "$pattern" "$out/text")"
  fi
}

check '^rank 0: tessera: rank 1 \(pid [0-9]+\) has died at plan row' kill
check '^rank 0: tessera: waited 3 s .* for rank 1 \(pid [0-9]+\) at plan row' stop
check '^rank 1: tessera: data.bin ends early; check the disk$' throw
check '^rank 1: tessera: ncclSend: remote process exited.*; NCCL_DEBUG.*\[plan row [0-9]+, ' nccl
check '^rank 1: tessera: a kernel or copy .* illegal memory.*; compute-sanitizer .*\[plan' kernel
timeout 60 mpirun --allow-run-as-root --oversubscribe --bind-to none -q -n 2 "$program" none |
  grep -q 'four steps' || { echo "FAILED: nothing is wrong, yet it ends" && failed=1; }
exit $failed
