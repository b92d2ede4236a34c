// expect: the plan needs more memory than a rank has
// expect: FitsMemory<92, 8>
#include <tessera/plan/memory.hpp>

using namespace tessera;

constexpr tessera::rule::FitsMemory<92, 8> fits{};
int main() {}
