// expect: an op needs static constexpr Shape shape(Shape...)
// expect: OpHasShape<Twice>
#include "setup.hpp"

struct Twice {
  static constexpr std::string_view name = "twice";
  static constexpr auto adjoint = backward_only;
};
template <class Backend>
struct tessera::kernels<Twice, Backend> {
  template <Team T>
  static void run(T const&, View<Real>) {}
};
static_assert(tessera::complete<Twice>);
int main() {}
