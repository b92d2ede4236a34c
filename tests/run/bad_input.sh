#!/usr/bin/env bash
# test
# timeout: 300
# A user's mistakes end a program with one line that names the thing and a way out, at once.
set -u
program=$TESSERA_BIN/tests/run-bad_input
failed=0
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export OMP_NUM_THREADS=1

start() { # RANKS ARGUMENT...
  local ranks=$1
  shift
  timeout 30 mpirun --allow-run-as-root --oversubscribe --bind-to none -q -n "$ranks" \
    "$program" "$@" > "$out/text" 2>&1
}

# refuses RANKS PATTERN ARGUMENT...: it prints exactly one line, of the library's, that matches.
refuses() {
  local ranks=$1 pattern=$2 begin=$SECONDS code said
  shift 2
  start "$ranks" "$@"
  code=$?
  said="$*, $ranks ranks, code $code, $((SECONDS - begin)) s: $(cat "$out/text")"
  if ((code == 0 || code == 124 || SECONDS - begin > 10)) ||
    [[ $(wc -l < "$out/text") -ne 1 ]] ||
    ! grep -qE "^(rank [0-9]: )?tessera: .*$pattern" "$out/text"; then
    echo "FAILED: $said"
    echo "        wanted: $pattern"
    failed=1
  else
    echo "passed: $said"
  fi
}

text() { for ((i = 0; i < $1; ++i)); do printf '\x01\x02\x03\x04\x05\x06\x07'; done; }
text 40 > "$out/good.txt"
: > "$out/empty.txt"
printf '\x01\x02\x03' > "$out/short.txt"
printf '\x01\x02\x03' > "$out/odd.bin"
{ text 5 && printf '\xc8' && text 5; } > "$out/unknown.txt"
mkdir "$out/folder"
mkfifo "$out/pipe.txt"

for ranks in 1 2; do
  if ! start "$ranks" "$out/good.txt" "$out/log.jsonl"; then
    echo "FAILED: nothing is wrong, yet it ends with: $(cat "$out/text")"
    failed=1
  fi
  refuses "$ranks" "$out/missing.txt does not exist; check" "$out/missing.txt" "$out/log"
  refuses "$ranks" "$out/empty.txt is empty; it must hold" "$out/empty.txt" "$out/log"
  refuses "$ranks" "$out/short.txt has 3 tokens, one sample needs 9; use" "$out/short.txt" \
    "$out/log"
  refuses "$ranks" "$out/odd.bin holds 3 bytes.*2-byte tokens; name" "$out/odd.bin" "$out/log"
  refuses "$ranks" "$out/folder is a directory; name" "$out/folder" "$out/log"
  refuses "$ranks" "$out/pipe.txt is not a regular file.*; save" "$out/pipe.txt" "$out/log"
  refuses "$ranks" "$out/unknown.txt, token 35: 200 is outside .*vocabulary of 100; use" \
    "$out/unknown.txt" "$out/log"
  refuses "$ranks" "cannot write .* bytes to /dev/full .*No space left.*; free" \
    "$out/good.txt" /dev/full
  refuses "$ranks" "cannot open $out/good.txt/log .*; choose" "$out/good.txt" "$out/good.txt/log"
done
refuses 2 "GlobalBatch<6> is not a multiple of 2 sequences times 2 data ranks; change" \
  "$out/good.txt" "$out/log" 6
export TESSERA_DOMAIN=3
refuses 2 "TESSERA_DOMAIN=3 does not divide the 2 ranks of a machine; set" "$out/good.txt" \
  "$out/log"
refuses 1 "TESSERA_DOMAIN=3 does not divide the 1 ranks of a machine; set" "$out/good.txt" \
  "$out/log"
exit $failed
