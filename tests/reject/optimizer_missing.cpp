// expect: give exactly one optimizer
// expect: OneOptimizer
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>

using namespace tessera;

constexpr Layout layout = fold<Batch<1, 8>>();
int main() {}
