#!/usr/bin/env bash
# Attention forward and backward, ours and PyTorch's, in turns: see docs/benchmarks.md.
#
#   bench/attention.sh [--quick | --rounds R] [--most-tokens T] [--max-foreign SHARE]
#
# TESSERA_PEERS  a Python, or its virtual environment, with torch
# TESSERA_BUILD  where the program is built (build/)
# The table goes to standard output, JSON lines to bench/results/.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE # set on some clouds; they slow OpenBLAS and torch
case ${1:-} in
  -h | --help) exec sed -n '2,/^set/s/^# \{0,1\}//p' "$0" ;;
esac

out=${TESSERA_BUILD:-build}/compare
mkdir -p "$out"
echo "building $out/attention" >&2
g++ -std=c++20 -O2 -march=native -fopenmp -Iinclude bench/attention.cpp -o "$out/attention" -ldnnl
exec python3 bench/attention.py --program "$out/attention" "$@"
