// expect: StochasticRounding: it rounds to bf16; add Precision<bf16>
// expect: StochasticRoundingOfBf16<
#include <tessera/optimizer/adamw.hpp>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>
#include <tessera/policy/precision.hpp>
#include <tessera/policy/stochastic_rounding.hpp>

using namespace tessera;

constexpr Layout layout = fold<Batch<1, 8>, Precision<fp16>, StochasticRounding, AdamW>();
int main() {}
