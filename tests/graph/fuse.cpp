// static
#include <tessera/graph/fuse.hpp>

#include <tessera/graph/describe.hpp>
#include <tessera/layer/embedding.hpp>
#include <tessera/layer/head.hpp>
#include <tessera/op/bias.hpp>

namespace {

using namespace tessera;

template <DType Low>
struct Micro {
  static constexpr int sequences = 2, tokens = 8;
  static constexpr DType low = Low;
  static constexpr std::span<std::string_view const> frozen{};
};
using Float = Micro<DType::real>;
using Half = Micro<DType::bf16>;

/// x + bias(matmul(x)), written as a formula.
struct Plain {
  Param<16, 16> weight = normal(0.02f);
  Param<16> shift = zeros;
  constexpr Value operator()(Value x) const { return x + bias(matmul(x, weight), shift); }
};
/// The product is read twice, so it must exist without the bias.
struct ReadTwice {
  Param<16, 16> weight = normal(0.02f);
  Param<16> shift = zeros;
  constexpr Value operator()(Value x) const {
    Value const y = matmul(x, weight);
    return bias(y, shift) + y;
  }
};
template <class Layer>
struct Model {
  Embedding<32, 16> embed;
  Repeat<3, Layer> blocks;
  LmHead<32, 16> head;
};

template <class Layer, class S>
constexpr int count(std::string_view op) {
  int n = 0;
  for (Node const& node : graph<Model<Layer>, 1, S>)
    n += node.op && node.part == Part::forward && node.op->name == op;
  return n;
}

static_assert(count<Plain, Float>("matmul_bias") == 1 && count<Plain, Float>("matmul") == 0);
static_assert(count<Plain, Float>("bias") == 0 && count<Plain, Float>("add") == 1);
static_assert(count<ReadTwice, Float>("matmul_bias") == 0);
static_assert(count<ReadTwice, Float>("matmul") == 1 && count<ReadTwice, Float>("bias") == 1);

// The stream x is float, what is added to it has 16 bits: no cast stands between them.
static_assert(count<Plain, Half>("add_widen") == 1 && count<Plain, Half>("add") == 0);
static_assert(count<Plain, Half>("widen") == 0);
static_assert(count<Plain, Float>("add_widen") == 0);

// What is saved, of one layer: 2 x 8 x 16 values of the product written and read once less, and in
// 16 bits the sum's cast.
template <class S>
constexpr Bytes saved(std::string_view name) {
  for (FusionInfo const& f : describe<Model<Plain>, S>().fusions)
    if (f.segment == 1 && f.name == name && f.ops == 1) return f.saved;
  return 0;
}
static_assert(saved<Float>("bias in the product") == 2 * 256 * 4);
static_assert(saved<Half>("bias in the product") == 2 * 256 * 2);
static_assert(saved<Half>("cast in the residual sum") == 2 * 256 * 4);
static_assert(saved<Float>("cast in the residual sum") == 0);

}  // namespace

int main() {}
