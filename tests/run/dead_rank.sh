#!/bin/sh
# test
# timeout: 300
# args: @build@/tests/run-dead_rank
# A rank that dies, stops or throws ends every rank within 10 s, and one line says which.
#   dead_rank.sh PROGRAM   where PROGRAM is dead_rank.cpp, built
set -u
program=$1
failed=0
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export TESSERA_PATIENCE=3

# check RANKS LINES PATTERN MPIRUN_OPTIONS -- PROGRAM_ARGUMENTS: LINES lines match PATTERN, every
# rank has ended within 10 s (mpirun's own start comes on top), and mpirun has failed.
check() {
  ranks=$1 lines=$2 pattern=$3
  shift 3
  options=
  while [ "$1" != -- ]; do options="$options $1" && shift; done
  shift
  begin=$(date +%s)
  # The name carries this test's process number, so that the search below sees only its own ranks.
  ln -sf "$program" "$out/rank.$$"
  timeout 60 mpirun --allow-run-as-root --oversubscribe --bind-to none -n "$ranks" $options \
    "$out/rank.$$" "$@" >"$out/text" 2>&1
  code=$?
  seconds=$(($(date +%s) - begin))
  found=$(grep -cE "$pattern" "$out/text")
  left=$(ps -eo stat=,args= | grep -v '^Z' | grep -c "[r]ank\.$$ ")
  recovers=$(echo "$options" | grep -c recovery)
  if [ "$found" -ne "$lines" ] || [ "$seconds" -gt 13 ] || [ "$left" -ne 0 ] ||
    { [ "$code" -eq 0 ] && [ "$recovers" -eq 0 ]; }; then
    echo "FAILED: -n $ranks$options $*: $found lines match '$pattern', not $lines;" \
      "$seconds s; exit code $code; $left ranks left"
    cat "$out/text"
    failed=1
  else
    echo "passed: -n $ranks$options $*: $seconds s, code $code:" \
      "$(grep -E -m 1 "$pattern" "$out/text")"
  fi
}

died='^rank [0-2]: tessera: rank 3 \(pid [0-9]+\) has died at plan row 500, layer 0'
hangs='^rank [0-2]: tessera: waited 3 s .* for rank 3 \(pid [0-9]+\) at plan row 500, layer 0'
check 4 1 "$died" -q -- barrier kill
check 4 1 "$died" -q -- exchange kill
check 4 1 "$died" -q -x TESSERA_DOMAIN=1 -- exchange kill
check 2 1 '^rank 0: tessera: rank 1 \(pid [0-9]+\) has died' -q -- barrier kill
# A launcher that does not end the others: each of them notices, the first one tells at once.
check 4 3 "$died" -q --enable-recovery -- barrier kill
check 4 1 "$hangs" -q -- barrier stop
check 4 1 "$hangs" -q -- exchange stop
check 4 1 '^rank 3: tessera: the loss is not finite; lower the learning rate$' -q -- barrier throw
check 4 1 '^tessera: data.bin cannot be opened$' -q -- barrier everywhere
check 1 1 '^tessera: data.bin cannot be opened$' -q -- barrier everywhere
# Quiet means quiet: one line is all that is said.
if [ "$(wc -l <"$out/text")" -ne 1 ]; then
  echo "FAILED: more than one line"
  cat "$out/text"
  failed=1
fi
exit $failed
