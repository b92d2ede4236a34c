// expect: UnorderedReduce: NCCL sums what lies on GPUs; add On<Cuda> or leave it out
// expect: UnorderedReduceNeedsGpu<false>
#include <tessera/optimizer/adamw.hpp>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>
#include <tessera/policy/unordered_reduce.hpp>

using namespace tessera;

constexpr Layout layout = fold<Batch<1, 8>, AdamW, UnorderedReduce>();
int main() {}
