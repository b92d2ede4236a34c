// expect: this is not a policy
// expect: IsPolicy
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>

using namespace tessera;

constexpr Layout layout = fold<Batch<1, 8>, int>();
int main() {}
