#!/usr/bin/env bash
# On a machine with a GPU: does it learn what cores learn, does every kernel compute what it should,
# and how well do the heaviest use it? Needs nvcc and a driver; no MPI, no network, no other
# library.
#
#   tests/gpu.sh          builds for the GPU that is here, in build-gpu/; a line per check
#
# Attention by cuDNN is built and checked beside the rest where cuDNN is: in TESSERA_CUDNN_ROOT or
# the toolkit, and its frontend's headers in TESSERA_CUDNN_FRONTEND or beside cudnn.h.
#
# It ends within TESSERA_LIMIT seconds (530). What it lacks, a tool or the time, is `not run`, which
# is never a pass. The last line is `N passed, M failed, K not run`; the status is 0 only if nothing
# failed.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
out=${TESSERA_BUILD:-build-gpu}
limit=${TESSERA_LIMIT:-530}
log=$out/log
passed=0 failed=0 missing=0
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

# tool NAME: where it is, or nothing; the toolkit has it beside nvcc
tool() {
  command -v "$1" || { [ -x "$(dirname "$nvcc")/$1" ] && echo "$(dirname "$nvcc")/$1"; }
}
not_run() {
  missing=$((missing + 1))
  echo "== not run: $1" | tee -a "$log"
}
# check MOST WORDS COMMAND...: passes if the command does, within MOST seconds. What it prints is
# shown.
check() {
  local most=$1 words=$2 begin=$SECONDS left=$((limit - SECONDS))
  shift 2
  [ "$left" -gt 5 ] || {
    not_run "$words, as the $limit s are over"
    return
  }
  if timeout $((left < most ? left : most)) "$@" > "$out/text" 2>&1; then
    passed=$((passed + 1))
  else
    case $? in 124) words="$words, stopped by the clock" ;; esac
    failed=$((failed + 1))
    words="FAILED: $words"
  fi
  { echo "== $words, $((SECONDS - begin)) s" && cat "$out/text"; } | tee -a "$log"
}

# All at once: each is a minute or two of one core.
flags=(-std=c++20 -O2 -arch=native -x cu -Iinclude -Xcompiler -fopenmp --extended-lambda
  -DTESSERA_CUDA -DTESSERA_NO_MPI -DTESSERA_NO_ONEDNN)
programs=(tests/gpu/losses tests/gpu/kernels bench/gpu)
# build NAME SOURCE FLAG...
build() {
  rm -f "$out/$1"
  timeout "$limit" "$nvcc" "${flags[@]}" "$2.cpp" -o "$out/$1" "${@:3}" -lcublasLt -ldl \
    > "$out/$1.log" 2>&1 &
}
cudnn=${TESSERA_CUDNN_ROOT:-$(dirname "$(dirname "$(readlink -f "$nvcc")")")}
frontend=${TESSERA_CUDNN_FRONTEND:-$cudnn/include}
with_cudnn=()
for folder in lib64 lib; do
  if [ -e "$cudnn/$folder/libcudnn.so.9" ] && [ -e "$cudnn/include/cudnn.h" ] &&
    [ -e "$frontend/cudnn_frontend.h" ]; then
    with_cudnn=(-DTESSERA_CUDNN -isystem "$frontend" -isystem "$cudnn/include"
      "-L$cudnn/$folder" -l:libcudnn.so.9 -lnvrtc -Xlinker "-rpath=$cudnn/$folder")
    break
  fi
done
echo "building ${programs[*]} in $out" >&2
for program in "${programs[@]}"; do
  build "${program//\//-}" "$program"
done
if [ ${#with_cudnn[@]} -gt 0 ]; then
  build cudnn-attention tests/gpu/attention "${with_cudnn[@]}"
  build cudnn-losses tests/gpu/losses "${with_cudnn[@]}"
fi
wait
losses=$out/tests-gpu-losses kernels=$out/tests-gpu-kernels step=$out/bench-gpu
for program in "$losses" "$kernels" "$step"; do
  check 10 "$program compiles" sh -c 'cat "$0.log" && test -x "$0"' "$program"
done

check 120 "losses, graphs and memory" "$losses"
check 120 "kernels, products and attention beside references in double" "$kernels"
if [ ${#with_cudnn[@]} -gt 0 ]; then
  for program in "$out"/cudnn-{attention,losses}; do
    check 10 "$program compiles" sh -c 'cat "$0.log" && test -x "$0"' "$program"
  done
  check 60 "attention by cuDNN beside references in double" "$out/cudnn-attention"
  check 60 "losses and graphs with attention by cuDNN" "$out/cudnn-losses"
else
  not_run "attention by cuDNN, as $cudnn has no cuDNN or $frontend no cudnn_frontend.h"
fi

# No initcheck: every byte is written before a kernel sees it, what a kernel must write as NaN.
sanitizer=$(tool compute-sanitizer)
for kind in memcheck racecheck; do
  for program in "$kernels --small" "$losses --short"; do
    words="compute-sanitizer, $kind of ${program##*-gpu-}"
    if [ -z "$sanitizer" ]; then
      not_run "$words, as there is no compute-sanitizer"
    else
      # shellcheck disable=SC2086 # a program and its argument
      check 100 "$words" "$sanitizer" --tool "$kind" --error-exitcode 1 $program
    fi
  done
done

# What the heaviest kernels of a step make of the GPU: figures, no pass.
ncu=$(tool ncu) counters="counters of a step's heaviest kernels"
left=$((limit - SECONDS))
if [ -z "$ncu" ]; then
  not_run "$counters, as there is no ncu"
elif ! command -v python3 > /dev/null; then
  not_run "$counters, as there is no python3"
elif ! [ -x "$step" ] || [ "$left" -le 10 ]; then
  not_run "$counters, as the step did not build or the $limit s are over"
else
  # shellcheck disable=SC2046 # options, a word each
  timeout $((left < 120 ? left : 120)) "$ncu" $(python3 tests/gpu/counters.py --options) "$step" \
    --size gpt2-124m --tokens 1024 --warmup 0 --steps 1 > "$out/counters.csv" 2>&1
  if python3 tests/gpu/counters.py "$out/counters.csv" > "$out/text" 2>&1; then
    { echo "== $counters" && cat "$out/text"; } | tee -a "$log"
  else
    not_run "$counters: $(grep -m 1 ERR "$out/counters.csv" || cat "$out/text")"
  fi
fi
echo "$passed passed, $failed failed, $missing not run"
[ "$failed" -eq 0 ]
