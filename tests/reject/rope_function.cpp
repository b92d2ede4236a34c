// expect: rope: elements of a head rotate in pairs: its width must be even
#include <tessera/layer/rope.hpp>

#include "setup.hpp"

struct Odd {
  constexpr Value operator()(Value x) const { return rope(x, 4, 7); }
};
struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  Odd middle;
  TiedLmHead<64, 32> head;
};
static_assert(traced<Model> == 3);
int main() {}
