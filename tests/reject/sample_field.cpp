// expect: Input and Target are Floats<Extents...> or Labels<Classes, Extents...>
// expect: IsSampleField<int, false>
#include <tessera/policy/samples.hpp>

using namespace tessera;

constexpr SampleBatch batch = Samples<8, Floats<4>, int>::batch;
int main() {}
