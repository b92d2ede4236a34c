// expect: dropout: the probability must be at least 0 and below 1
#include <tessera/layer/dropout.hpp>

#include "setup.hpp"

struct Wrong {
  Dropout all{1.0};
  constexpr Value operator()(Value x) const { return x + all(x); }
};
struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  Wrong middle;
  TiedLmHead<64, 32> head;
};
static_assert(traced<Model> == 3);
int main() {}
