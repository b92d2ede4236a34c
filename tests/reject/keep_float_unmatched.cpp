// expect: no parameter has such a path
// expect: KeepFloatMatches<1>
#include "setup.hpp"

struct Patterns : Small {
  static constexpr DType low = DType::bf16;
  static constexpr std::array<std::string_view, 2> full{"embed.*", "blocks.*"};
};
struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  Linear<32, 32> middle;
  TiedLmHead<64, 32> head;
};
static_assert(describe<Model, Patterns>().segments.size() == 3);
int main() {}
