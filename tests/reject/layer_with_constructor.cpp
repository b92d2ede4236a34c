// expect: a layer or model is an aggregate
// expect: LayerIsAggregate<Constructed>
#include "setup.hpp"

struct Constructed {
  Linear<32, 32> linear;
  constexpr Constructed() : linear() {}
  constexpr Value operator()(Value x) const { return linear(x); }
};
struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  Constructed middle;
  TiedLmHead<64, 32> head;
};
static_assert(traced<Model> == 3);
int main() {}
