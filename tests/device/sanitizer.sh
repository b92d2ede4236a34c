# shellcheck shell=bash
# For scripts that run a program of this folder and the doubles under one of g++'s sanitizers.
#   sanitized PROGRAM SANITIZER    builds $work/PROGRAM; ends with 77 where that cannot be
#   fail WORDS                     ends, with what $work/text holds
#   on_ranks N COMMAND...
cd "${TESSERA_SOURCE:?}" || exit 1
export OMP_NUM_THREADS=1

fail() {
  echo "FAILED: $1"
  cat "$work/text"
  exit 1
}

sanitized() {
  local program=$1 sanitizer=$2 home cuda=
  work=${TESSERA_BUILD:?}/checks/$program
  mkdir -p "$work"
  for home in "${CUDA_HOME:-}" /usr/local/cuda; do
    if [[ -n $home && -e $home/include/nccl.h && -e $home/include/cublasLt.h ]]; then
      cuda=$home/include
      break
    fi
  done
  [[ -n $cuda ]] || {
    echo "$program.sh: the CUDA headers are missing"
    exit 77
  }
  echo 'int main() {}' | g++ "-fsanitize=$sanitizer" -x c++ - -o "$work/nothing" &&
    "$work/nothing" || {
    echo "$program.sh: g++ has no -fsanitize=$sanitizer that runs here"
    exit 77
  }
  OMPI_CXX=g++ MPICH_CXX=g++ mpicxx -std=c++20 -O1 -g1 -fopenmp "-fsanitize=$sanitizer" -Iinclude \
    -Itests/cuda_double -isystem "$cuda" -DTESSERA_CUDA -DTESSERA_CUDA_DOUBLE \
    -DOMPI_SKIP_MPICXX -DMPICH_SKIP_MPICXX "tests/device/$program.cpp" tests/cuda_double/*.cpp \
    -o "$work/$program" -ldnnl > "$work/text" 2>&1 || fail "it does not compile"
}

on_ranks() {
  mpirun -q --allow-run-as-root --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 -n "$@"
}
