// expect: attention: a window of all tokens or more hides nothing
// expect: WindowIsSmaller<
// expect: 16
// expect: 15
#include "setup.hpp"

struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  SelfAttention<32, 4, 4, AttentionKind{.window = 16}> attention;
  TiedLmHead<64, 32> head;
};
static_assert(traced<Model> == 3);
int main() {}
