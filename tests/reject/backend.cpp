// expect: On<Backend>: this build has no such backend
// expect: BackendIsEnabled<Abacus>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>
#include <tessera/policy/on.hpp>

using namespace tessera;

struct Sgd {
  static constexpr std::string_view name = "Sgd";
  static constexpr bool is_optimizer = true;
  static constexpr int states = 0;
  static constexpr void set(Layout&) {}
};

struct Abacus;
constexpr Layout layout = fold<Batch<1, 8>, On<Abacus>, Sgd>();
int main() {}
