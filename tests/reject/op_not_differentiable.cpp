// expect: this op has no adjoint and stands between a parameter and the loss
// expect: OpIsDifferentiable<
// expect: AddInto
#include "setup.hpp"

struct Stuck {
  Linear<32, 32> linear;
  constexpr Value operator()(Value x) const { return apply<AddInto>(linear(x)); }
};
struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  Stuck middle;
  TiedLmHead<64, 32> head;
};
static_assert(traced<Model> == 3);
int main() {}
