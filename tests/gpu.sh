#!/usr/bin/env bash
# On a machine with a GPU: does it learn what cores learn? Needs nvcc and a driver; no MPI, no
# network, no other library.
#
#   tests/gpu.sh          builds for the GPU that is here, in build-gpu/; a line per check
#
# The last line is `N passed, M failed`; the status is 0 only if nothing failed.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
out=${TESSERA_BUILD:-build-gpu}
log=$out/log
passed=0 failed=0
mkdir -p "$out"
: > "$log"

stop() {
  echo "tests/gpu.sh: $1" >&2
  echo "0 passed, 1 failed"
  exit 1
}
nvcc=$(command -v nvcc || echo "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc")
[ -x "$nvcc" ] || stop "nvcc is neither on the path nor in CUDA_HOME; install the CUDA toolkit"
command -v nvidia-smi > /dev/null ||
  stop "there is no nvidia-smi, so no GPU driver; start on a machine with a GPU"
nvidia-smi --query-gpu=name,compute_cap,memory.total,driver_version --format=csv,noheader |
  tee -a "$log"

# check WORDS COMMAND...: passes if the command does. What it prints is shown.
check() {
  local words=$1 begin=$SECONDS
  shift
  if "$@" > "$out/text" 2>&1; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    words="FAILED: $words"
  fi
  { echo "== $words, $((SECONDS - begin)) s" && cat "$out/text"; } | tee -a "$log"
}

flags=(-std=c++20 -O2 -arch=native -x cu -Iinclude -Xcompiler -fopenmp --extended-lambda
  -DTESSERA_CUDA -DTESSERA_NO_MPI -DTESSERA_NO_ONEDNN)
check "the trainer compiles" \
  "$nvcc" "${flags[@]}" tests/gpu/losses.cpp -o "$out/losses" -lcublasLt -ldl
check "losses, graphs and memory" "$out/losses"
sanitizer=$(command -v compute-sanitizer || echo "$(dirname "$nvcc")/compute-sanitizer")
if [ -x "$sanitizer" ]; then
  for tool in memcheck racecheck; do
    check "compute-sanitizer, $tool" timeout 200 "$sanitizer" --tool "$tool" --error-exitcode 1 \
      "$out/losses" --short
  done
else
  echo "no compute-sanitizer here: not run"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
