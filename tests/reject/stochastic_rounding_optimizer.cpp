// expect: StochasticRounding: this optimizer steps float states only; use AdamW
// expect: OptimizerRoundsStochastically<
// expect: Lamb, false>
#include <tessera/optimizer/lamb.hpp>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>
#include <tessera/policy/precision.hpp>
#include <tessera/policy/stochastic_rounding.hpp>

using namespace tessera;

constexpr Layout layout = fold<Batch<1, 8>, Precision<bf16>, StochasticRounding, Lamb>();
int main() {}
