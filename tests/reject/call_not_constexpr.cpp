// expect: a layer's call operator must be constexpr
// expect: CallIsConstexpr<Runtime, false>
#include "setup.hpp"

struct Runtime {
  Linear<32, 32> linear;
  Value operator()(Value x) const { return linear(x); }
};
struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  Runtime middle;
  TiedLmHead<64, 32> head;
};
static_assert(traced<Model> == 3);
int main() {}
