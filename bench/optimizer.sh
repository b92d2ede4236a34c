#!/usr/bin/env bash
# An AdamW step, ours, PyTorch's and DeepSpeed's, in turns: see docs/benchmarks.md.
#
#   bench/optimizer.sh [--quick | --rounds R] [--elements N] [--max-foreign SHARE]
#
# TESSERA_PEERS  a Python, or its virtual environment, with torch (and deepspeed)
# TESSERA_BUILD  where the program is built (build/)
# The table goes to standard output, JSON lines to bench/results/.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
case ${1:-} in
  -h | --help) exec sed -n '2,/^set/s/^# \{0,1\}//p' "$0" ;;
esac

out=${TESSERA_BUILD:-build}/compare
mkdir -p "$out"
echo "building $out/optimizer" >&2
g++ -std=c++20 -O2 -march=native -fopenmp -Iinclude bench/optimizer.cpp -o "$out/optimizer" -ldnnl
exec python3 bench/optimizer.py --program "$out/optimizer" "$@"
