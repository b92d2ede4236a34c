// expect: needs a first pass: static void prepare(Team auto const&
// expect: OptimizerPrepares<
// expect: Ratio, false>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>

using namespace tessera;

struct Ratio {
  static constexpr std::string_view name = "Ratio";
  static constexpr bool is_optimizer = true;
  static constexpr int states = 0;
  static constexpr void set(Layout& layout) { layout.across = Across::sums; }
};

constexpr Layout layout = fold<Batch<1, 8>, Ratio>();
int main() {}
