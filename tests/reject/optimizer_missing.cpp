// expect: give exactly one optimizer
// expect: OneOptimizer
#include <tessera/policy/fold.hpp>
#include <tessera/policy/batch.hpp>

using namespace tessera;

constexpr Layout layout = fold<Batch<1, 8>>();
int main() {}
