// expect: an op reads integers as numbers, or numbers as integers
// expect: TypesAgree<
// expect: false, true>
// expect[gxx]: an op's operand is of another type than its kernel takes
#include "setup.hpp"

struct Numbers {
  static constexpr SampleBatch batch{2, Floats<16>::field, Floats<1>::field};
  static constexpr std::span<std::string_view const> frozen{};
};
struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  TiedLmHead<64, 32> head;
};
static_assert(describe<Model, Numbers>().segments.size() == 2);
int main() {}
