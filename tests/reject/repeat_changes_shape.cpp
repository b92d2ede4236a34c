// expect: Repeat<Count, Layer>: the layer's output must have the shape of its input
// expect: RepeatKeepsShape<
// expect[gxx]: Linear<32, 48>, false>
// expect[clang]: Linear<32, 48>, false>
// expect[nvcc]: Linear<32, 48, tessera::cpu::WithBias>, false>
#include "setup.hpp"

struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  Repeat<2, Linear<32, 48>> blocks;
  LmHead<64, 48> head;
};
static_assert(traced<Model> == 3);
int main() {}
