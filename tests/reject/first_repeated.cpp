// expect: a model's first segment reads the batch, so it has one layer
// expect: FirstSegmentIsOne<
// expect: 3>
#include "setup.hpp"

struct Numbers {
  static constexpr SampleBatch batch{2, Floats<16>::field, Labels<64>::field};
  static constexpr std::span<std::string_view const> frozen{};
};
struct Model {
  Repeat<3, Linear<16, 16>> layers;
  Linear<16, 1> last;
};
static_assert(describe<Model, Numbers>().segments.size() == 2);
int main() {}
