// expect: Count must be positive
// expect: SamplesArePositive<0>
#include <tessera/policy/samples.hpp>

using namespace tessera;

constexpr SampleBatch batch = Samples<0, Floats<4>, Floats<1>>::batch;
int main() {}
