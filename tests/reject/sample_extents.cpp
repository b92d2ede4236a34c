// expect: at most three extents, each above 0
// expect: ExtentsFit<
// expect: 28, 0>
#include <tessera/core/sample.hpp>

using namespace tessera;

constexpr Floats<28, 0> image{};
int main() {}
