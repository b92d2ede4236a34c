// expect: HeadWidth must be even
// expect: HeadWidthIsEven<63>
#include <tessera/layer/rope.hpp>

using namespace tessera;

constexpr Rope<12, 63> rotation{};
int main() {}
