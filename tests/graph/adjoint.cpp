// static
#include <tessera/graph/adjoint.hpp>

#include <tessera/layer/gpt2.hpp>

namespace {

using namespace tessera;

constexpr std::string_view all[]{"*"};
template <bool Frozen>
struct Micro {
  static constexpr int sequences = 2, tokens = 8;
  static constexpr std::span<std::string_view const> frozen =
      Frozen ? std::span<std::string_view const>(all) : std::span<std::string_view const>();
};
using S = Micro<false>;

template <class Model, int I, class How = S>
constexpr int count(std::string_view op, Part part) {
  int n = 0;
  for (Node const& x : graph<Model, I, How>) n += x.op && x.op->name == op && x.part == part;
  return n;
}
template <class Model, int I, class How = S>
constexpr int backward_ops() {
  int n = 0;
  for (Node const& x : graph<Model, I, How>) n += x.op && x.part == Part::backward;
  return n;
}

using Gpt = Gpt2<2, 16, 2, 32, 8>;

// Two residual sums, so two sums of gradients; a product gives two, an input one.
static_assert(count<Gpt, 1>("add", Part::forward) == 2);
static_assert(count<Gpt, 1>("add", Part::backward) == 2);
static_assert(count<Gpt, 1>("matmul_dw", Part::backward) == 4);
static_assert(count<Gpt, 1>("matmul_dx", Part::backward) == 4);
static_assert(count<Gpt, 1>("sum_rows", Part::backward) == 4);
static_assert(count<Gpt, 1>("add_into", Part::backward) == 0);  // each adds to the flat by itself

// Tokens and targets have no gradient, so the embedding's backward pass is its tables'.
static_assert(backward_ops<Gpt, 0>() == 2);
// Frozen: only what the gradient of the input takes is left, and nothing where there is none.
static_assert(backward_ops<Gpt, 0, Micro<true>>() == 0);
static_assert(count<Gpt, 1, Micro<true>>("matmul_dw", Part::backward) == 0);
static_assert(count<Gpt, 1, Micro<true>>("matmul_dx", Part::backward) == 4);
static_assert(count<Gpt, 1, Micro<true>>("sum_rows", Part::backward) == 0);

/// Whether the forward node of this op is left out in training.
template <class Model, int I>
constexpr bool skips(std::string_view op) {
  for (Node const& x : graph<Model, I, S>)
    if (x.op && x.op->name == op && x.part == Part::forward) return x.skip_in_training;
  throw "no such op";
}
static_assert(skips<Gpt, 2>("linear_cross_entropy"));
static_assert(!skips<Gpt, 2>("layer_norm"));

/// The loss op is not the result, so its value is needed on the way.
struct SumHead {
  Param<32, 16> one, two;
  constexpr Value operator()(Value x) const {
    return linear_cross_entropy(x, one) + linear_cross_entropy(x, two);
  }
};
struct SumOfLosses {
  Embedding<32, 16> embed;
  SumHead head;
};
static_assert(!skips<SumOfLosses, 1>("linear_cross_entropy"));

/// The first contribution of a pass sets a gradient, the others add; a summand goes by add_into.
struct Shared {
  Param<16, 16> weight;
  Param<2, 8, 16> summand;
  constexpr Value operator()(Value x) const {
    return apply<Add>(matmul(matmul(matmul(x, weight), weight), weight), summand);
  }
};
struct SharedModel {
  Embedding<32, 16> embed;
  Shared one;
  LmHead<32, 16> head;
};
constexpr bool first_sets_others_add = [] {
  int sets = 0, adds = 0;
  for (Node const& x : graph<SharedModel, 1, S>)
    if (x.grad_of >= 0 && x.op->name == "matmul_dw") {
      if (!x.accumulate && adds > 0) return false;
      ++(x.accumulate ? adds : sets);
    }
  return sets == 1 && adds == 2;
}();
static_assert(first_sets_others_add);
static_assert(count<SharedModel, 1>("add_into", Part::backward) == 1);

}  // namespace
