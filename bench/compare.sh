#!/usr/bin/env bash
# A training step, ours and everyone else's, in one interleaved run: see docs/benchmarks.md.
#
#   bench/compare.sh [--quick | --rounds R] [--size NAME] [--precision fp32|bf16]
#                    [--only NAME...] [--list] [--steps N] [--warmup W] [--max-foreign SHARE]
#
# --size         gpt2, llama, or tiny and llama_tiny, which check the script in a minute
# TESSERA_PEERS  a Python, or its virtual environment, with torch (and deepspeed): their rows
# LLMC           a directory with llm.c's train_gpt2.c: its row
# TESSERA_BUILD  where the programs are built (build/)
# The table goes to standard output, JSON lines to bench/results/.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE # set on some clouds; they slow OpenBLAS and torch

size=gpt2 precision=fp32 arguments=("$@")
while [ $# -gt 0 ]; do
  case $1 in
    --size) size=${2:-} ;;
    --size=*) size=${1#*=} ;;
    --precision) precision=${2:-} ;;
    --precision=*) precision=${1#*=} ;;
    -h | --help) exec sed -n '2,/^set/s/^# \{0,1\}//p' "$0" ;;
  esac
  shift
done
case $size in
  gpt2 | tiny) stages=(0 1 2 3) ;;
  llama | llama_tiny) stages=(0) ;; # one process
  *) echo "bench/compare.sh: --size is gpt2, llama, tiny or llama_tiny: '$size'" >&2 && exit 2 ;;
esac
case $precision in
  fp32) type=float ;;
  bf16) type=bf16 ;;
  *) echo "bench/compare.sh: --precision is fp32 or bf16, not '$precision'" >&2 && exit 2 ;;
esac

out=${TESSERA_BUILD:-build}/compare
mkdir -p "$out"

# build PROGRAM COMMAND...: a program that does not build is a row "not found" with its log's name.
# Old ones are taken away first: what is measured is what the tree says.
build() {
  local program=$out/$1
  shift
  rm -f "$program"
  echo "building $program" >&2
  "$@" -o "$program" >"$program.log" 2>&1 || echo "$program did not build: $program.log" >&2
}

ours=(mpicxx -std=c++20 -O2 -march=native -fopenmp -DOMPI_SKIP_MPICXX -DMPICH_SKIP_MPICXX -Iinclude)
if command -v mpicxx >/dev/null && [ -f bench/step.cpp ]; then
  # One program per stage: a layout is part of the program.
  for stage in "${stages[@]}"; do
    build "step_${size}_${precision}_zero$stage" "${ours[@]}" "-DTESSERA_SIZE=$size" \
      "-DTESSERA_POLICIES=Zero<$stage>, Precision<$type>" bench/step.cpp -ldnnl
  done
fi
if [ -f bench/gemm_bound.cpp ]; then
  build gemm_bound "${ours[@]}" bench/gemm_bound.cpp -ldnnl
fi
if [ -n "${LLMC:-}" ] && [[ $size != llama* ]]; then
  # Its Makefile's flags, and OpenMP.
  build llmc "${CC:-cc}" -Ofast -march=native -fopenmp -Wno-unused-result -Wno-unknown-pragmas \
    "-DLLMC=\"$LLMC/train_gpt2.c\"" "-I$LLMC" bench/peers/llmc.c -lm
fi

exec python3 bench/compare.py --programs "$out" "${arguments[@]}"
