// expect: this is not a policy
// expect: IsPolicy
#include <tessera/policy/fold.hpp>
#include <tessera/policy/batch.hpp>

using namespace tessera;

constexpr Layout layout = fold<Batch<1, 8>, int>();
int main() {}
