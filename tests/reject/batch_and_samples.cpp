// expect: a policy is given more than once; keep one of them
// expect: PolicyOnce<
#include <tessera/optimizer/adamw.hpp>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>
#include <tessera/policy/samples.hpp>

using namespace tessera;

constexpr Layout layout = fold<Batch<2, 16>, Samples<2, Floats<16>, Floats<1>>, AdamW>();
int main() {}
