// expect: which UnorderedReduce does not; leave one of them out
// expect: StrictReducesInOrder<true>
#include <tessera/optimizer/adamw.hpp>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>
#include <tessera/policy/unordered_reduce.hpp>

using namespace tessera;

struct OnGpu {  // what On<Cuda> sets, for compilers that cannot have it
  static constexpr std::string_view name = "On";
  static constexpr void set(Layout& layout) { layout.gpu = true; }
};

constexpr Layout layout = fold<Batch<1, 8>, AdamW, Strict<>, UnorderedReduce, OnGpu>();
int main() {}
