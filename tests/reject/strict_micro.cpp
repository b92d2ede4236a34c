// expect: which Reduce<Micro> does not; leave one of them out
// expect: StrictReducesOnce<true>
#include <tessera/optimizer/adamw.hpp>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>
#include <tessera/policy/reduce.hpp>

using namespace tessera;

constexpr Layout layout = fold<Batch<1, 8>, AdamW, Strict<>, Reduce<Micro>>();
int main() {}
