// expect: inside this layer an op's operands do not fit together
// expect: ShapesAgree<
// expect: 32
// expect: 48
// expect[gxx]: the value has fewer columns than heads times their width
#include <tessera/layer/rope.hpp>

#include "setup.hpp"

struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  Rope<6, 8> rotation;
  TiedLmHead<64, 32> head;
};
static_assert(traced<Model> == 3);
int main() {}
