#!/usr/bin/env bash
# test
# beside
# timeout: 400
# AddressSanitizer on the doubles of CUDA, which close what lies around an allocation of the device:
# a training run stays within, and a byte beyond is found, be it a kernel's or the host's.
set -u
# shellcheck source=sanitizer.sh
. "$(dirname "${BASH_SOURCE[0]}")/sanitizer.sh"
sanitized bounds address

# What MPI keeps until the end is no leak of ours.
export ASAN_OPTIONS=detect_leaks=0:exitcode=66
on_ranks 2 "$work/bounds" train > "$work/text" 2>&1 || fail "a training run leaves its memory"
[[ $(grep -c '^[0-9]' "$work/text") == 6 ]] || fail "a training run has lost its losses"
# A stack that it does not know of is a warning, no error.
! grep -qE 'ASan|Sanitizer' "$work/text" || fail "a training run is warned"
"$work/bounds" inside > "$work/text" 2>&1 || fail "the last byte is taken for one beyond"

# probe NAME WORDS: its place in the program is reported.
probes=0
probe() {
  "$work/bounds" "$1" > "$work/text" 2>&1
  (($? == 66)) || fail "$1: nothing is reported"
  grep -q "AddressSanitizer: $2" "$work/text" || fail "$1: it is no $2"
  grep -qE '#[0-2] .*bounds\.cpp' "$work/text" || fail "$1: its place is not named"
  probes=$((probes + 1))
}
probe write-behind use-after-poison
probe read-behind use-after-poison
probe write-before use-after-poison
probe write-far-behind use-after-poison
probe read-freed use-after-poison
probe shared heap-buffer-overflow
probe stack stack-buffer-overflow
probe pinned heap-buffer-overflow
probe host heap-buffer-overflow
echo "passed: training stays within its memory, and $probes bytes beyond are found"
