#!/usr/bin/env bash
# test
# beside
# timeout: 400
# ThreadSanitizer on the doubles of CUDA: a stream is a thread and only events order them, so what
# it reports is a race that a GPU would have. A training run must have none, and a wait that is
# taken away must be found.
set -u
work=${TESSERA_BUILD:?}/checks/races
mkdir -p "$work"
cd "${TESSERA_SOURCE:?}"

for home in "${CUDA_HOME:-}" /usr/local/cuda; do
  if [[ -n $home && -e $home/include/nccl.h && -e $home/include/cublasLt.h ]]; then
    cuda=$home/include
    break
  fi
done
[[ -n ${cuda:-} ]] || {
  echo "races.sh: the CUDA headers are missing"
  exit 77
}
fail() {
  echo "FAILED: $1"
  cat "$work/text"
  exit 1
}

echo 'int main() {}' | g++ -fsanitize=thread -x c++ - -o "$work/nothing" && "$work/nothing" || {
  echo "races.sh: g++ has no ThreadSanitizer that runs here"
  exit 77
}
flags=(-std=c++20 -O1 -g1 -fopenmp -fsanitize=thread -Iinclude -Itests/cuda_double -isystem "$cuda"
  -DTESSERA_CUDA -DTESSERA_CUDA_DOUBLE -DOMPI_SKIP_MPICXX -DMPICH_SKIP_MPICXX)
OMPI_CXX=g++ MPICH_CXX=g++ mpicxx "${flags[@]}" tests/device/races.cpp tests/cuda_double/*.cpp \
  -o "$work/races" -ldnnl > "$work/text" 2>&1 || fail "it does not compile"

# What is not built with it, MPI and oneDNN, orders threads in ways that it does not see.
export OMP_NUM_THREADS=1 TSAN_OPTIONS=ignore_noninstrumented_modules=1:exitcode=66
mpirun -q --allow-run-as-root --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 -n 2 \
  "$work/races" train > "$work/text" 2>&1 || fail "a training run has a race"
[[ $(grep -c '^[0-9]' "$work/text") == 6 ]] || fail "a training run has lost its losses"
"$work/races" waits > "$work/text" 2>&1 || fail "two streams that an event orders have a race"
for run in 1 2 3; do
  "$work/races" no-wait > "$work/text" 2>&1
  (($? == 66)) || fail "run $run of two streams without a wait: no race is found"
  grep -q 'data race' "$work/text" || fail "it ended as for a race, and names none"
done
echo "passed: no race in training, and every one between two streams is found"
