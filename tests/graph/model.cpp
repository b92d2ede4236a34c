// static
#include <tessera/graph/model.hpp>

#include <tessera/layer/gpt2.hpp>
#include <tessera/op/bias.hpp>

namespace {

using namespace tessera;

constexpr std::string_view frozen_patterns[]{"blocks.*.mlp.*", "head.token"};
template <bool Frozen>
struct Micro {
  static constexpr int sequences = 2, tokens = 8;
  static constexpr std::span<std::string_view const> frozen =
      Frozen ? std::span<std::string_view const>(frozen_patterns)
             : std::span<std::string_view const>();
};
using S = Micro<false>;
using F = Micro<true>;
using Gpt = Gpt2<3, 16, 2, 32, 8>;

static_assert(segments<Gpt> == 3 && repeats<Gpt, 0> == 1 && repeats<Gpt, 1> == 3);
static_assert(is_repeated<Gpt, 1> && !is_repeated<Gpt, 2>);
static_assert(std::is_same_v<layer_of<Gpt, 1>, Gpt2Block<16, 2, 3>>);

// Tokens [2, 8] -> values [2, 8, 16] -> the loss.
static_assert(segment_input<Gpt, 0, S>() == shape_of(2, 8));
static_assert(segment_output<Gpt, 0, S> == shape_of(2, 8, 16));
static_assert(segment_output<Gpt, 1, S> == shape_of(2, 8, 16));
static_assert(segment_output<Gpt, 2, S> == shape_of(1));

// Paths, in the order of the members; '*' is the layer.
template <int I, class How = S>
constexpr ParameterInfo const& at(int k) {
  return parameters<Gpt, I, How>[std::size_t(k)];
}
static_assert(parameters<Gpt, 0, S>.size() == 2 && parameters<Gpt, 1, S>.size() == 12);
static_assert(at<0>(0).path.view() == "embed.token" && at<0>(0).tie == "token");
static_assert(at<0>(1).path.view() == "embed.position" && at<0>(1).tie.empty());
static_assert(at<1>(0).path.view() == "blocks.*.norm1.gain");
static_assert(at<1>(2).path.view() == "blocks.*.attention.qkv.weight");
static_assert(at<1>(8).path.view() == "blocks.*.mlp.up.weight");
static_assert(at<1>(8).shape == shape_of(64, 16) && at<1>(10).shape == shape_of(16, 64));
static_assert(at<2>(2).path.view() == "head.token" && at<2>(2).shape == shape_of(32, 16));
static_assert(at<1>(0).init.kind == Init::ones && at<1>(1).init.kind == Init::zeros);
static_assert(at<1>(8).init.deviation == 0.02f);
static_assert(at<1>(10).init.deviation < 0.0082f && at<1>(10).init.deviation > 0.0081f);

// Frozen: what a pattern matches; a tied parameter in every segment.
static_assert(at<1, F>(8).frozen && at<1, F>(11).frozen && !at<1, F>(7).frozen);
static_assert(at<2, F>(2).frozen && at<0, F>(0).frozen && !at<0, F>(1).frozen);

template <int I, class How>
constexpr int gradients_of_parameters() {
  int n = 0;
  for (Node const& node : graph<Gpt, I, How>) n += node.grad_of >= 0;
  return n;
}
static_assert(gradients_of_parameters<0, S>() == 2 && gradients_of_parameters<0, F>() == 1);
static_assert(gradients_of_parameters<1, S>() == 12 && gradients_of_parameters<1, F>() == 8);
static_assert(gradients_of_parameters<2, S>() == 3 && gradients_of_parameters<2, F>() == 2);

/// A layer that has numbers and flags beside its parameters, and members in members.
struct Scaled {
  int count = 3;
  bool twice = true;
  struct Inner {
    Param<16> gain = ones;
  } inner;
  constexpr Value operator()(Value x) const {
    return twice ? bias(bias(x, inner.gain), inner.gain) : x;
  }
};
struct WithScaled {
  Embedding<32, 16> embed;
  Scaled one;
  LmHead<32, 16> head;
};
static_assert(parameters<WithScaled, 1, S>.size() == 1);
static_assert(parameters<WithScaled, 1, S>[0].path.view() == "one.inner.gain");
static_assert(parameters<WithScaled, 2, S>[2].path.view() == "head.projection");

}  // namespace
