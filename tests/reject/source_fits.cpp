// expect: the source does not write what the model reads
// expect: SourceFits<
// expect: Floats<16>
#include <tessera/tessera.hpp>

using namespace tessera;

struct Sum {
  Linear<16, 1> all;
  constexpr Value operator()(Value x) const { return all(x) + targets(x); }
};
struct Model {
  Sum sum;
};
struct Sentences {
  std::int64_t samples(int) const { return 8; }
  void sample(std::int64_t, std::span<std::int32_t>, std::span<std::int32_t>) const {}
};
using T = Trainer<Model, Samples<4, Floats<16>, Floats<1>>, AdamW>;
Source const source = T::source(Sentences{});
int main() {}
