// expect: name what stays float
// expect: KeepFloatIsNamed
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

constexpr Layout layout = fold<Batch<1, 8>, KeepFloat<"">, Sgd>();
int main() {}
