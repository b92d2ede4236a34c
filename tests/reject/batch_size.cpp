// expect: Batch<Sequences, Tokens>: both must be positive
// expect: BatchIsPositive<0, 128>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>

using namespace tessera;

struct Sgd {
  static constexpr std::string_view name = "Sgd";
  static constexpr bool is_optimizer = true;
  static constexpr int states = 0;
  static constexpr void set(Layout&) {}
};

constexpr Layout layout = fold<Batch<0, 128>, Sgd>();
int main() {}
