// The same words as in the files beside this one, used well: this compiles. Were it refused, the
// library would be broken, and every other file here would be refused for that.
#include <tessera/layer/rope.hpp>
#include <tessera/optimizer/adamw.hpp>
#include <tessera/policy/accumulate.hpp>
#include <tessera/policy/batch.hpp>
#include <tessera/policy/fold.hpp>
#include <tessera/policy/frozen.hpp>
#include <tessera/policy/global_batch.hpp>
#include <tessera/policy/on.hpp>
#include <tessera/policy/precision.hpp>
#include <tessera/policy/samples.hpp>
#include <tessera/policy/zero.hpp>

#include "setup.hpp"

static_assert(fold<Zero<3>, AdamW, Batch<2, 16>, Accumulate<2>, Frozen<"embed.*">, On<Cpu>,
                   Precision<float>>()
                  .zero == 3);

struct Wider {
  Linear<32, 48> up;
  Linear<48, 32> down;
  constexpr Value operator()(Value x) const { return x + down(gelu(up(x))); }
};
struct Model {
  TokenAndPositionEmbedding<64, 16, 32> embed;
  Repeat<2, Wider> blocks;
  CausalSelfAttention<32, 4> attention;
  SelfAttention<32, 8, 2, AttentionKind{.window = 15}> windowed;
  Rope<4, 8> rotation;
  TiedLmHead<64, 32> head;
};
static_assert(traced<Model> == 6);

struct Numbers {
  static constexpr SampleBatch batch = Samples<2, Floats<16, 32>, Labels<64, 16>>::batch;
  static constexpr std::span<std::string_view const> frozen{};
};
struct OfNumbers {
  Linear<32, 32> first;
  Repeat<2, Wider> blocks;
};
static_assert(segment_output<OfNumbers, 1, Numbers> == shape_of(2, 16, 32));
int main() {}
