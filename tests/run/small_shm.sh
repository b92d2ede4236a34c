#!/usr/bin/env bash
# test
# timeout: 120
# args: @build@/tests/run-bad_input
# Many containers have a /dev/shm too small for a model: two ranks say so, go on with private
# buffers and compute the same bits.
#   small_shm.sh PROGRAM   where PROGRAM is bad_input.cpp, built
set -u
program=$1
export OMP_NUM_THREADS=1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for ((i = 0; i < 40; ++i)); do printf '\x01\x02\x03\x04\x05\x06\x07'; done > "$out/good.txt"
# Open MPI's own segments stay out of /dev/shm; only the library's window is to be short of it.
run="timeout 60 mpirun -q --allow-run-as-root --oversubscribe --bind-to none
  --mca btl_vader_backing_directory /tmp -n 2 $program $out/good.txt"

unshare --mount true 2> /dev/null || {
  echo "small_shm.sh: mount namespaces are forbidden; run it as root, with CAP_SYS_ADMIN"
  exit 77
}
fail() {
  echo "FAILED: $1"
  cat "$out/text"
  exit 1
}
$run "$out/large.jsonl" > "$out/text" 2>&1 || fail "with the machine's /dev/shm"
[[ ! -s $out/text ]] || fail "with the machine's /dev/shm it should say nothing"
small="mount -t tmpfs -o size=1m tmpfs /dev/shm && exec $(echo $run) $out/small.jsonl"
unshare --mount sh -c "$small" > "$out/text" 2>&1 || fail "with a /dev/shm of 1 MiB"
grep -qE '^tessera: the shared windows .* /dev/shm, which has .* free; start the container' \
  "$out/text" || fail "it does not say what is missing"
grep -q '^tessera: going on with private buffers' "$out/text" || fail "it does not say what it does"
[[ -s $out/small.jsonl ]] || fail "it has written no losses"
cmp "$out/large.jsonl" "$out/small.jsonl" > "$out/text" 2>&1 || fail "the losses differ"
echo "passed: the same losses from private buffers"
