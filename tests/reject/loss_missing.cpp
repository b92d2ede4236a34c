// expect: a model's last segment returns the loss
// expect: LastSegmentIsLoss<
// expect: 96, 2, false>
#include "setup.hpp"

struct Numbers {
  static constexpr SampleBatch batch{2, Floats<16>::field, Floats<1>::field};
  static constexpr std::span<std::string_view const> frozen{};
};
struct Model {
  Linear<16, 32> up;
  Linear<32, 48> down;
};
static_assert(describe<Model, Numbers>().segments.size() == 2);
int main() {}
