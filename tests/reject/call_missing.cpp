// expect: a layer needs constexpr Value operator()(Value) const
// expect: LayerHasCall<Silent, false>
#include "setup.hpp"

struct Silent {
  Linear<32, 32> linear;
};
struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  Silent middle;
  TiedLmHead<64, 32> head;
};
static_assert(traced<Model> == 3);
int main() {}
