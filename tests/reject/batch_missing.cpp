// expect: the micro-batch is missing; add Batch
// expect: BatchIsGiven
#include <tessera/policy/fold.hpp>
#include <tessera/policy/zero.hpp>

using namespace tessera;

struct Sgd {
  static constexpr std::string_view name = "Sgd";
  static constexpr bool is_optimizer = true;
  static constexpr int states = 0;
  static constexpr void set(Layout&) {}
};

constexpr Layout layout = fold<Zero<1>, Sgd>();
int main() {}
