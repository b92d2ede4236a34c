#!/usr/bin/env bash
# A training step on the GPU that is here, ours and PyTorch's: see docs/benchmarks.md.
#
#   bench/gpu.sh [--tiny] [--only NAME...] [--seconds S] [--limit S]
#
# --tiny         small sizes, which check the script in a minute
# --only         sizes whose names contain one of these, as in gpt2-124m 7b
# --seconds      for the timed steps of a run (10)
# --limit        for everything, building included (530); what has no time left is not run
# TESSERA_PEERS  a Python, or its virtual environment, with torch for CUDA: its rows
# TESSERA_BUILD  where the program is built (build-gpu/)
# Needs nvcc and a driver; no MPI, no network, no other library. The table goes to standard output,
# JSON lines to bench/results/.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

stop() {
  echo "bench/gpu.sh: $1" >&2
  exit "${2:-1}"
}
tiny=() only=() seconds=10 limit=530
while [ $# -gt 0 ]; do
  case $1 in
    --tiny) tiny=(-DTESSERA_TINY) ;;
    --seconds | --limit)
      [[ ${2:-} =~ ^[0-9]+$ ]] || stop "$1 wants whole seconds, not '${2:-}'" 2
      if [ "$1" = --limit ]; then limit=$2; else seconds=$2; fi
      shift
      ;;
    --only)
      while [ $# -gt 1 ] && [[ $2 != --* ]]; do only+=("$2") && shift; done
      ;;
    -h | --help) exec sed -n '2,/^set/s/^# \{0,1\}//p' "$0" ;;
    *) stop "unknown: $1; --help says what there is" 2 ;;
  esac
  shift
done

nvcc=$(command -v nvcc || echo "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc")
command -v nvidia-smi > /dev/null ||
  stop "there is no nvidia-smi, so no GPU driver; start on a machine with a GPU"
card=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1)
[ -n "$card" ] || stop "nvidia-smi lists no GPU; start on a machine with one"
[ -x "$nvcc" ] || stop "nvcc is neither on the path nor in CUDA_HOME; install the CUDA toolkit"

left() { echo $((limit - SECONDS)); }

out=${TESSERA_BUILD:-build-gpu} program=${TESSERA_BUILD:-build-gpu}/bench
results=bench/results/gpu-$(date +%Y%m%d-%H%M%S).jsonl
mkdir -p "$out" bench/results
echo "building $program" >&2
timeout "$limit" "$nvcc" -std=c++20 -O2 -arch=native -x cu -Iinclude -Xcompiler -fopenmp \
  --extended-lambda -DTESSERA_CUDA -DTESSERA_NO_MPI -DTESSERA_NO_ONEDNN "${tiny[@]}" bench/gpu.cpp \
  -o "$program" -lcublasLt -ldl > "$program.log" 2>&1 ||
  stop "$program did not build within $limit s, see $program.log"

python=${TESSERA_PEERS:-}
[ -x "$python/bin/python" ] && python=$python/bin/python
if [ -z "$python" ]; then
  peers="TESSERA_PEERS is not set"
elif peers=$("$python" bench/gpu.py --check 2>&1); then
  echo "peers: $peers"
  peers=""
fi
[ -z "$peers" ] || echo "peers: not run, $peers" # and python is not asked again

# field NAME LINE: a number of a JSON line, or a text without quotes
field() { sed -nE "s/.*\"$1\": \"?([^\",}]*)\"?.*/\1/p" <<< "$2"; }
# row NAME TOKENS WHO LINE: of the table; ours is the line that a peer is compared with
row() {
  local skipped
  skipped=$(field skipped "$4")
  [ -n "$skipped" ] && printf '%-12s %6s %-14s skipped: %s\n' "$1" "$2" "$3" "$skipped" && return
  awk -v name="$1" -v tokens="$2" -v who="$3" -v speed="$(field tokens_per_second "$4")" \
    -v mfu="$(field mfu "$4")" -v plan="$(field predicted_bytes "$4")" \
    -v bytes="$(field measured_bytes "$4")" -v ours="${5:-}" 'BEGIN {
      printf "%-12s %6s %-14s %10.0f", name, tokens, who, speed
      printf " %7s", mfu == "" ? "" : sprintf("%.1f%%", 100 * mfu)
      printf " %9s", plan == "" ? "" : sprintf("%.2f", plan / 2 ^ 30)
      printf " %9.2f", bytes / 2 ^ 30
      printf " %8s\n", ours == "" ? "" : sprintf("%.2fx", ours / speed)
    }'
}
# timed NAME TOKENS WHO COMMAND...: its JSON line, in `line`; a sentence and 1 if there is none
timed() {
  local name=$1 tokens=$2 who=$3 code
  shift 3
  line=""
  if [ "$(left)" -lt $((seconds + 5)) ]; then
    printf '%-12s %6s %-14s not run: %s s are over; --only %s\n' \
      "$name" "$tokens" "$who" "$limit" "$name"
    return 1
  fi
  line=$(timeout "$(left)" "$@" 2> "$out/text" < /dev/null | grep '^{')
  code=${PIPESTATUS[0]}
  if [ -z "$line" ]; then
    [ "$(left)" -le 0 ] && echo "$limit s are over" > "$out/text"
    printf '%-12s %6s %-14s failed (%s): %s\n' "$name" "$tokens" "$who" "$code" \
      "$(grep -v '^ *$' "$out/text" | tail -n 1 | cut -c 1-160)"
    [ "$who" = tessera ] && failed=1
    return 1
  fi
  echo "$line" >> "$results"
}

failed=0 any=0 # a peer that fails is a row that says so
echo "$card; bf16 weights and states, one GPU"
printf '%-12s %6s %-14s %10s %7s %9s %9s %8s\n' \
  size tokens who tokens/s MFU "plan GiB" "GiB" "ours is"
while read -r name tokens; do
  if [ ${#only[@]} -gt 0 ]; then
    wanted=0
    for part in "${only[@]}"; do [[ $name == *"$part"* ]] && wanted=1; done
    [ $wanted = 1 ] || continue
  fi
  any=1
  timed "$name" "$tokens" tessera "$program" --size "$name" --tokens "$tokens" --card "$card" \
    --seconds "$seconds" || continue
  ours=$line
  row "$name" "$tokens" tessera "$ours"
  [ -z "$peers" ] || continue
  for how in "" --compile; do
    who="torch ${how:-eager}" && who=${who/--/}
    if timed "$name" "$tokens" "$who" "$python" -u bench/gpu.py "$ours" $how \
      --seconds "$seconds"; then
      row "$name" "$tokens" "$who" "$line" "$(field tokens_per_second "$ours")"
    fi
  done
done < <("$program" --list)
[ $any = 1 ] || stop "no size contains ${only[*]}; $program --list names them" 2
echo "each step and every number: $results"
exit $failed
