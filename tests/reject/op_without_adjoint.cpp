// expect: an op needs an adjoint
// expect: OpHasAdjoint<Twice>
#include "setup.hpp"

struct Twice {
  static constexpr std::string_view name = "twice";
  static constexpr Shape shape(Shape x) { return x; }
};
template <class Backend>
struct tessera::kernels<Twice, Backend> {
  template <Team T>
  static void run(T const& team, View<Real> y, View<Real const> x) {
    team.each(x.count(), [=](std::int64_t i) { y[i] = 2 * x[i]; });
  }
};
static_assert(tessera::complete<Twice>);
int main() {}
