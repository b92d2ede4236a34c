// expect: inside this layer an op's operands do not fit together
// expect: ShapesAgree<
// expect: 16
// expect: 8
// expect[gxx]: more tokens than the position table has rows
#include "setup.hpp"

struct Model {
  TokenAndPositionEmbedding<64, 8, 32> embed;
  TiedLmHead<64, 32> head;
};
static_assert(traced<Model> == 2);
int main() {}
