// ranks: 1
// double
// timeout: 120
#include <tessera/tessera.hpp>

#include "ranks.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace {

using namespace tessera;

/// y = x sigmoid(k x), k the attribute: a user's op, its backward pass written as a kernel.
struct Swish {
  static constexpr std::string_view name = "swish";
  static constexpr auto adjoint = by_kernels<0>;
  static constexpr Shape shape(Shape x, int) { return x; }
};
/// y[.., c] = x[.., c]^2 gain[c], the squares kept: two operands and an extra output.
struct ScaledSquare {
  static constexpr std::string_view name = "scaled_square";
  static constexpr auto adjoint = by_kernels<1, 0>;
  static constexpr int extras = 1;
  static constexpr Shape shape(Shape x, Shape) { return x; }
  static constexpr Shape extra(int, Shape x, Shape) { return x; }
};

}  // namespace

template <class Backend>
struct tessera::kernels<Swish, Backend> {
  template <Team T>
  static void run(T const& team, View<Real> y, View<Real const> x) {
    int const k = team.attribute;
    team.each(x.count(), [=](std::int64_t i) { y[i] = x[i] / (1 + std::exp(-k * x[i])); });
  }
  template <Team T>
  static void backward(Wrt<0>, T const& team, View<Real> dx, View<Real const> dy,
                       View<Real const> x) {
    int const k = team.attribute;
    team.each(x.count(), [=](std::int64_t i) {
      Real const s = 1 / (1 + std::exp(-k * x[i]));
      dx[i] = dy[i] * (s + k * x[i] * s * (1 - s));
    });
  }
};
template <class Backend>
struct tessera::kernels<ScaledSquare, Backend> {
  template <Team T>
  static void run(T const& team, View<Real> y, View<Real const> x, View<Real const> gain,
                  View<Real> square) {
    team.each(x.count(), [=](std::int64_t i) {
      square[i] = x[i] * x[i];
      y[i] = square[i] * gain[i % gain.count()];
    });
  }
  template <Team T>
  static void backward(Wrt<0>, T const& team, View<Real> dx, View<Real const> dy,
                       View<Real const> x, View<Real const> gain, View<Real const>) {
    team.each(x.count(),
              [=](std::int64_t i) { dx[i] = 2 * dy[i] * x[i] * gain[i % gain.count()]; });
  }
  template <Team T>
  static void backward(Wrt<1>, T const& team, View<Real> dgain, View<Real const> dy,
                       View<Real const>, View<Real const>, View<Real const> square) {
    team.each(dgain.count(), [=](std::int64_t c) {
      dgain[c] = 0;
      for (std::int64_t r = 0; r < dy.rows(); ++r) dgain[c] += dy.row(r)[c] * square.row(r)[c];
    });
  }
};

namespace {

static_assert(complete<Swish> && complete<ScaledSquare>);

constexpr int sequences = 2, tokens = 5, letters = 11, width = 6;

/// Samples with tokens that repeat, and every third target ignored where `holes` says so.
struct Text {
  std::int64_t many = sequences;
  int words = letters;
  bool holes = false;
  std::int64_t samples(int) const { return many; }
  void sample(std::int64_t index, std::span<std::int32_t> in, std::span<std::int32_t> out) const {
    for (std::size_t i = 0; i < in.size(); ++i) {
      auto const at = index * std::int64_t(in.size()) + std::int64_t(i);
      in[i] = std::int32_t(at * at % 7 * 977 % words);
      out[i] = holes && at % 3 != 1 ? ignored : std::int32_t((at + 1) * (at + 1) % 7 * 977 % words);
    }
  }
};

/// Dropout is of steps only: such a model's loss is that of the run's first step, whose masks are
/// the same each time.
enum class LossOf { evaluation, first_step };

template <LossOf What, class T>
double loss_of(T& trainer, Text const& text) {
  if (What == LossOf::evaluation) return trainer.evaluate(text);
  trainer.engine().resume_at(0, {});
  return trainer.step(text).loss;
}

/// Central differences of fourth order.
template <LossOf What, class T>
double slope(T& trainer, Text const& text, std::string const& path, std::vector<Real> values,
             std::size_t element) {
  double const h = 1e-3, at = values[element];
  auto const loss = [&](double d) {
    values[element] = at + d;
    trainer.set_parameter(path, values);
    return loss_of<What>(trainer, text);
  };
  double const near = loss(h) - loss(-h), far = loss(2 * h) - loss(-2 * h);
  trainer.set_parameter(path, (values[element] = at, values));
  return (8 * near - far) / (12 * h);
}

/// Elements with the largest gradients, and others.
std::vector<std::size_t> probes(std::vector<Real> const& gradient, std::size_t each) {
  std::vector<std::size_t> order(gradient.size());
  std::iota(order.begin(), order.end(), std::size_t(0));
  std::size_t const n = std::min(each, order.size());
  std::partial_sort(order.begin(), order.begin() + std::ptrdiff_t(n), order.end(),
                    [&](auto a, auto b) { return std::abs(gradient[a]) > std::abs(gradient[b]); });
  for (std::size_t k = 0; k < n; ++k)
    std::swap(order[n - 1 + k * (order.size() - n) / n], order[k]);
  order.resize(n);
  return order;
}

constexpr double worst = 1e-8;  // of the parameter's largest gradient

/// Every parameter of the model, at values of the size that its initial ones have at most.
template <class Model, LossOf What, class... Policies>
void differences_agree(Text const& text, std::size_t each) {
  Trainer<Model, AdamW, Policies...> trainer(
      test::world(), {.learning_rate = 0, .weight_decay = 0, .shuffle = false});
  for (std::string const& path : trainer.paths()) {
    std::vector<Real> values = trainer.parameter(path);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] += 0.5 * (uniform(RandomKey(7, path), std::int64_t(i)) - 0.5);
    trainer.set_parameter(path, values);
  }
  double const whole = loss_of<What>(trainer, text);
  trainer.engine().resume_at(0, {});
  CHECK(trainer.step(text).loss == doctest::Approx(whole).epsilon(1e-14));
  int compared = 0;
  for (std::string const& path : trainer.paths()) {
    INFO(path);
    std::vector<Real> const values = trainer.parameter(path);
    loss_of<LossOf::first_step>(trainer, text);
    std::vector<Real> const gradient = trainer.gradient(path);
    double largest = 0;
    for (Real g : gradient) largest = std::max(largest, std::abs(g));
    REQUIRE(largest > 1e-5);
    for (std::size_t const element : probes(gradient, each)) {
      INFO("element ", element, ", gradient ", gradient[element]);
      double const error =
          std::abs(slope<What>(trainer, text, path, values, element) - gradient[element]);
      CHECK_FALSE(!(error <= worst * largest));
      ++compared;
    }
  }
  CHECK(compared > 0);
}
template <class Model, class... Policies>
void agrees_with_differences(Text const& text, std::size_t each = 6) {
  differences_agree<Model, LossOf::evaluation, Policies...>(text, each);
}

/// One layer between an embedding and the loss.
template <class Layer, class Norm = LayerNorm<width>>
struct Around {
  Embedding<letters, width> embed;
  Layer layer;
  LmHead<letters, width, Norm> head;
};
using Small = Batch<sequences, tokens>;

struct Ops {
  Param<width, width> twice, once;
  Param<width> shift, gain;
  Param<sequences, tokens, width> summand, factor;
  constexpr Value operator()(Value x) const {
    auto const a = bias(matmul(x, twice), shift);
    auto const b = matmul(a * x, twice) + matmul(x, once);
    auto const c = apply<Multiply>(b + b, factor) + a;
    return apply<ScaledSquare>(apply<Add>(c, summand), gain);
  }
};
struct Users {
  Param<width> gain, other;
  constexpr Value operator()(Value x) const {
    auto const y = apply<Swish>(Settings{.attribute = 2}, x);
    return apply<ScaledSquare>(apply<Swish>(Settings{.attribute = 3}, y), gain) +
           apply<ScaledSquare>(y, other);
  }
};

/// A large epsilon, so that its place in the formula counts; the sum makes backward add to dx.
struct RootMeanSquare {
  RmsNorm<width> norm{.epsilon = 0.3};
  Param<width, width> mix;
  constexpr Value operator()(Value x) const { return x + matmul(norm(x), mix); }
};

/// Queries and keys rotate, values do not; one head in each, or two. The second rotation reads what
/// the sum reads too, so it cannot have its place.
struct Rotations {
  Param<3 * width, width> qkv, again;
  Rope<2, width> first{.theta = 50};
  Rope<4, 2, RopeLayout::interleaved> second{.theta = 7};
  constexpr Value operator()(Value x) const {
    auto const y = x + attention<AttentionKind{.width = 6}>(first(matmul(x, qkv)));
    auto const z = matmul(y, again);
    return y + attention<AttentionKind{.width = 2}>(second(z) + z);
  }
};

/// The packed value of a gated unit loses its place to its gradient, or is read by a sum as well.
struct Gates {
  GatedMlp<width, 5> silu_gate;
  GatedMlp<width, 4, GeGlu> gelu_gate;
  Linear<width, 2 * width, NoBias> up;
  constexpr Value operator()(Value x) const {
    auto const y = silu(x + silu_gate(x));
    auto const z = up(y + gelu_gate(y));
    return swiglu(z) + geglu(z);
  }
};

/// Where the value is not read again, dropout and its gradient have their places.
struct Drops {
  Param<width, width> mix;
  Dropout before{0.3}, after{0.5};
  constexpr Value operator()(Value x) const { return x + after(matmul(before(x), mix)); }
};
struct DropModel {
  Embedding<letters, width> embed;
  Repeat<2, Drops> layers;
  LmHead<letters, width> head;
};

/// A parameter that every layer of a Repeat and the head share, beside parameters of their own.
struct SharingLayer {
  LayerNorm<width> norm;
  Tied<"mix", width, width> mix;
  constexpr Value operator()(Value x) const { return x + matmul(gelu(matmul(norm(x), mix)), mix); }
};
struct SharingHead {
  Tied<"mix", width, width> mix;
  Tied<"token", letters, width> token;
  constexpr Value operator()(Value x) const { return linear_cross_entropy(matmul(x, mix), token); }
};
struct Sharing {
  TokenAndPositionEmbedding<letters, tokens + 2, width> embed;
  Repeat<3, SharingLayer> blocks;
  SharingHead head;
};

/// Two query heads to a key and value head, a window, and documents that token 0 ends.
template <AttentionKind Mask>
using Attends = SelfAttention<width, 2, 1, Mask>;

/// The result is a sum of two losses of one value, so neither loss op is the result.
struct TwoLosses {
  LayerNorm<width> norm;
  Param<letters, width> first, second;
  Param<width, width> between;
  constexpr Value operator()(Value x) const {
    auto const y = norm(x);
    return linear_cross_entropy(y, first) + linear_cross_entropy(matmul(y, between), second);
  }
};
struct TwoHeads {
  Embedding<letters, width> embed;
  TwoLosses head;
};

/// So many words that the logits of 64 tokens at a time are all that fits.
constexpr int lexicon = 66'000;
struct PlainHead {
  Param<lexicon, 2> projection;
  constexpr Value operator()(Value x) const { return linear_cross_entropy(x, projection); }
};
struct ManyWords {
  Embedding<lexicon, 2> embed;
  PlainHead head;
};
static_assert(loss_chunk(100, lexicon) == 64);

TEST_CASE("gradients of a GPT-2 are its differences, with ignored targets and micro-batches") {
  agrees_with_differences<Gpt2<2, 8, 2, letters, tokens>, Small, Accumulate<2>>(
      {.many = 2 * sequences, .holes = true});
}
TEST_CASE("gradients of sums, products, biases, and of parameters used twice or as a summand") {
  agrees_with_differences<Around<Ops>, Small>({});
}
TEST_CASE("gradients of a user's ops: by kernels, with an attribute, an extra and two operands") {
  agrees_with_differences<Around<Users>, Small>({});
}
TEST_CASE("gradients of rms norms, also in the head") {
  agrees_with_differences<Around<RootMeanSquare, RmsNorm<width>>, Small>({});
}
TEST_CASE("gradients of rotary position embeddings, in place and not, in both layouts") {
  agrees_with_differences<Around<Rotations>, Small>({});
}
TEST_CASE("gradients of gated units, SiLU, and Linear layers without bias") {
  agrees_with_differences<Around<Gates>, Small>({});
}
TEST_CASE("gradients of dropouts are the differences with the same masks, in two micro-batches") {
  differences_agree<DropModel, LossOf::first_step, Small, Accumulate<2>>({.many = 2 * sequences},
                                                                         6);
}
TEST_CASE("gradients of parameters that layers of a Repeat and other segments share") {
  agrees_with_differences<Sharing, Small, Accumulate<2>>({.many = 2 * sequences});
}
TEST_CASE("gradients of a Llama are its differences, with ignored targets and micro-batches") {
  using Model = Llama<2, 8, 4, 2, 12, letters, 100, AttentionKind{.window = 3}>;
  agrees_with_differences<Model, Small, Accumulate<2>>({.many = 2 * sequences, .holes = true});
}
TEST_CASE("gradients of attention of several kinds") {
  agrees_with_differences<Around<Attends<AttentionKind{.causal = false}>>, Small>({});
  agrees_with_differences<Around<Attends<AttentionKind{.window = 2, .separator = 0}>>, Small>({});
}
TEST_CASE("gradients of a sum of two losses") {
  agrees_with_differences<TwoHeads, Small>({.holes = true});
}
TEST_CASE("gradients of a loss that is computed in several chunks") {
  agrees_with_differences<ManyWords, Batch<2, 50>>({.many = 2, .words = lexicon, .holes = true}, 2);
}

}  // namespace
