// expect: too many patterns; join some of them
// expect: KeepFloatAtMost<9, 8>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>
#include <tessera/policy/keep_float.hpp>

using namespace tessera;

struct Sgd {
  static constexpr std::string_view name = "Sgd";
  static constexpr bool is_optimizer = true;
  static constexpr int states = 0;
  static constexpr void set(Layout&) {}
};

template <Name... Pattern>
constexpr Layout layout = fold<Batch<1, 8>, KeepFloat<Pattern>..., Sgd>();
constexpr Layout nine = layout<"a", "b", "c", "d", "e", "f", "g", "h", "i">;
int main() {}
