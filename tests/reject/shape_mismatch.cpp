// expect: inside this layer an op's operands do not fit together
// expect: ShapesAgree<
// expect: 48
// expect: 32
// expect[gxx]: the value's last dimension differs from the weight's input features
#include "setup.hpp"

struct Wrong {
  Linear<32, 48> up;
  Linear<32, 32> down;
  constexpr Value operator()(Value x) const { return down(up(x)); }
};
struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  Repeat<2, Wrong> blocks;
  TiedLmHead<64, 32> head;
};
static_assert(traced<Model> == 3);
int main() {}
