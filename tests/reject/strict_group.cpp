// expect: use 1 or more
// expect: StrictGroupIsPositive<0>
#include <tessera/policy/strict.hpp>

using namespace tessera;

constexpr Strict<0> none;
int main() {}
