// expect: this optimizer takes sums or products over whole tensors on the host
// expect: OptimizerRunsOnGpu<
// expect: Lamb, false>
#include <tessera/optimizer/lamb.hpp>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>

using namespace tessera;

struct OnGpu {  // what On<Cuda> sets, for compilers that cannot have it
  static constexpr std::string_view name = "On";
  static constexpr void set(Layout& layout) { layout.gpu = true; }
};

constexpr Layout layout = fold<Batch<1, 8>, Lamb, OnGpu>();
int main() {}
