#!/usr/bin/env bash
# test
# beside
# timeout: 240
# A program of one rank on a GPU builds without MPI, oneDNN and NCCL, as tests/gpu.sh builds it on
# a machine that has none of them; here on the doubles.
set -eu
cd "${TESSERA_SOURCE:?}"
out=${TESSERA_BUILD:?}/checks/alone
mkdir -p "$out"
for home in "${CUDA_HOME:-}" /usr/local/cuda; do
  if [[ -n $home && -e $home/include/cublasLt.h ]]; then cuda=$home/include && break; fi
done
[[ -n ${cuda:-} ]] || {
  echo "alone.sh: the CUDA headers are missing"
  exit 77
}
g++ -std=c++20 -O0 -fopenmp -Wall -Wextra -Werror -Iinclude -Itests/cuda_double -isystem "$cuda" \
  -DTESSERA_CUDA -DTESSERA_CUDA_DOUBLE -DTESSERA_NO_MPI -DTESSERA_NO_ONEDNN tests/gpu/losses.cpp \
  tests/cuda_double/{cublaslt,fibers,graphs,memory,runtime,sort}.cpp -o "$out/losses"
if ldd "$out/losses" | grep -E 'libmpi|libdnnl|libnccl'; then
  echo "FAILED: it needs a library that it was to do without"
  exit 1
fi
"$out/losses" --short

cat > "$out/cores.cpp" << 'END'
#include <tessera/tessera.hpp>
using namespace tessera;
int main(int argc, char** argv) {
  World world(argc, argv);
  Trainer<Gpt2<1, 16, 2, 8, 4>, Batch<1, 4>, AdamW> const trainer(world);
}
END
g++ -std=c++20 -O0 -fopenmp -Iinclude -DTESSERA_NO_MPI -DTESSERA_NO_ONEDNN "$out/cores.cpp" \
  -o "$out/cores"
words='was built without oneDNN; use On<Cuda>'
if "$out/cores" 2> "$out/text" || ! grep -q "$words" "$out/text"; then
  echo "FAILED: products on cores without oneDNN: $(cat "$out/text")"
  exit 1
fi
echo "passed: without MPI, oneDNN and NCCL; cores say: $(cat "$out/text")"
