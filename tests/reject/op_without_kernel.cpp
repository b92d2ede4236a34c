// expect: this op has no kernels<Op, Backend>::run
// expect: OpHasKernel<Twice,
#include "setup.hpp"

struct Twice {
  static constexpr std::string_view name = "twice";
  static constexpr auto adjoint = backward_only;
  static constexpr Shape shape(Shape x) { return x; }
};
static_assert(tessera::complete<Twice>);
int main() {}
