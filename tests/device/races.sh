#!/usr/bin/env bash
# test
# beside
# timeout: 400
# ThreadSanitizer on the doubles of CUDA: a stream is a thread and only events order them, so what
# it reports is a race that a GPU would have. A training run must have none, and a wait that is
# taken away must be found.
set -u
# shellcheck source=sanitizer.sh
. "$(dirname "${BASH_SOURCE[0]}")/sanitizer.sh"
sanitized races thread

# What is not built with it, MPI and oneDNN, orders threads in ways that it does not see.
export TSAN_OPTIONS=ignore_noninstrumented_modules=1:exitcode=66
on_ranks 2 "$work/races" train > "$work/text" 2>&1 || fail "a training run has a race"
[[ $(grep -c '^[0-9]' "$work/text") == 6 ]] || fail "a training run has lost its losses"
for where in "" -captured; do
  "$work/races" "waits$where" > "$work/text" 2>&1 || fail "waits$where: ordered, and a race"
  for run in 1 2 3; do
    "$work/races" "no-wait$where" > "$work/text" 2>&1
    (($? == 66)) || fail "run $run of no-wait$where: no race is found"
    grep -q 'data race' "$work/text" || fail "it ended as for a race, and names none"
  done
done
echo "passed: no race in training, and every one between two streams is found, in graphs, too"
