// expect: Graphs: only work on a GPU can be captured; add On<Cuda> or leave it out
// expect: GraphsNeedGpu<false>
#include <tessera/optimizer/adamw.hpp>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>
#include <tessera/policy/graphs.hpp>

using namespace tessera;

constexpr Layout layout = fold<Batch<1, 8>, AdamW, Graphs>();
int main() {}
