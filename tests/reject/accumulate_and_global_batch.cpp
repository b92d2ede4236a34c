// expect: both say how many micro-batches a step has
// expect: AccumulateOrGlobalBatch
#include <tessera/policy/accumulate.hpp>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>
#include <tessera/policy/global_batch.hpp>

using namespace tessera;

struct Sgd {
  static constexpr std::string_view name = "Sgd";
  static constexpr bool is_optimizer = true;
  static constexpr int states = 0;
  static constexpr void set(Layout&) {}
};

constexpr Layout layout = fold<Batch<1, 8>, Accumulate<2>, GlobalBatch<16>, Sgd>();
int main() {}
