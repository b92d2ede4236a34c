// expect: use another one, such as AdamW, or leave Strict out
// expect: StrictTakesNoSums<true>
#include <tessera/optimizer/lamb.hpp>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>

using namespace tessera;

constexpr Layout layout = fold<Batch<1, 8>, Lamb, Strict<>>();
int main() {}
