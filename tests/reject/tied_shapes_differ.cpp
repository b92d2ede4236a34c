// expect: Tied<Name, Extents...>: parameters of one name must have one shape
// expect: TiedShapesAgree<4096, 2048>
#include "setup.hpp"

struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  Linear<32, 64> wide;
  TiedLmHead<64, 64> head;
};
static_assert(traced<Model> == 3);
int main() {}
