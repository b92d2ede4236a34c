// expect: a parameter of this layer is not used by its call operator
// expect: ParametersAreUsed<Forgetful, 2>
#include "setup.hpp"

struct Forgetful {
  Linear<32, 32> used;
  Param<32> forgotten;
  constexpr Value operator()(Value x) const { return used(x); }
};
struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  Forgetful middle;
  TiedLmHead<64, 32> head;
};
static_assert(traced<Model> == 3);
int main() {}
