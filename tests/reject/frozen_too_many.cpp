// expect: too many patterns; join some of them
// expect: FrozenAtMost<9, 8>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>
#include <tessera/policy/frozen.hpp>

using namespace tessera;

struct Sgd {
  static constexpr std::string_view name = "Sgd";
  static constexpr bool is_optimizer = true;
  static constexpr int states = 0;
  static constexpr void set(Layout&) {}
};

constexpr Layout layout =
    fold<Batch<1, 8>, Frozen<"a">, Frozen<"b">, Frozen<"c">, Frozen<"d">, Frozen<"e">, Frozen<"f">,
         Frozen<"g">, Frozen<"h">, Frozen<"i">, Sgd>();
int main() {}
