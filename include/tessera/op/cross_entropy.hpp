/// Projection to the vocabulary and cross-entropy in one op, a chunk of tokens at a time: the
/// logits never exist whole. Its adjoint computes the loss on the way, so training makes them once.
///
///   loss = loss_scale * sum over valid tokens of (log sum exp(weight x) - (weight x)[target])
#pragma once

#include <tessera/backend/enabled.hpp>
#include <tessera/backend/gemm.hpp>
#include <tessera/graph/adjoint.hpp>
#include <tessera/kernels/cross_entropy.hpp>
#include <tessera/kernels/elementwise.hpp>

#include <algorithm>
#include <optional>
#include <type_traits>

namespace tessera::inline TESSERA_SETTING {

/// Tokens whose logits exist at a time: 64 at least, 64 MiB of logits at most. Chunks are about
/// equal: a short last one would leave the product most of its operands' traffic for little work.
constexpr std::int64_t loss_chunk(std::int64_t tokens, std::int64_t vocabulary) {
  std::int64_t const fitting =
      std::max<std::int64_t>(64, 64_MiB / (vocabulary * Bytes(sizeof(Real))) / 64 * 64);
  std::int64_t const chunks = (tokens + fitting - 1) / fitting;
  return std::min(tokens, ((tokens + chunks - 1) / chunks + 63) / 64 * 64);
}

/// Words that one product covers: all, unless a backend prefers fewer of 16 bits.
template <class B>
constexpr std::int64_t loss_block(std::int64_t vocabulary, DType low) {
  std::int64_t const most = B::low_gemm_columns;
  if (low == DType::real || vocabulary <= most) return vocabulary;
  std::int64_t const blocks = (vocabulary + most - 1) / most;
  return std::min(vocabulary, round_up((vocabulary + blocks - 1) / blocks, 64));
}

struct LinearCrossEntropyInput {  // operands: dy, x, weight, targets, loss_scale
  static constexpr std::string_view name = "linear_cross_entropy_dx";
  static constexpr std::string_view saving = "loss on the way of its gradient";
  static constexpr Bytes saved(Signature const& s) {
    return 2 * s.in[1].rows() * s.in[2][0] * Bytes(sizeof(Real));
  }
  static constexpr auto adjoint = backward_only;
  static constexpr Traits traits{.accumulates = 0b010,
                                 .result_in_backward = 2,
                                 .gemm = true,
                                 .low_in = 0b00110,
                                 .low_out = 0b001};
  static constexpr int extras = 2;  // dweight; the loss
  static constexpr Shape shape(Shape, Shape x, Shape, Shape, Shape) { return x; }
  static constexpr Shape extra(int k, Shape, Shape, Shape weight, Shape, Shape) {
    return k == 0 ? weight : shape_of(1);
  }
  static constexpr double flops(Signature const& s) {
    return 6.0 * double(s.in[1].count()) * double(s.in[2][0]);
  }
};
struct LinearCrossEntropy {
  static constexpr std::string_view name = "linear_cross_entropy";
  static constexpr Traits traits{.vocabulary = 1, .gemm = true, .low_in = 0b0011};
  static constexpr ShapeFault check(Shape x, Shape weight, Shape, Shape) {
    return {x[-1], weight[1]};
  }
  static constexpr Shape shape(Shape x, Shape weight, Shape targets, Shape) {
    if (weight.rank != 2 || x[-1] != weight[1])
      throw "cross_entropy: the value's last dimension differs from the head's input features";
    if (targets.count() != x.rows()) throw "cross_entropy: one target per row of the value";
    return shape_of(1);
  }
  static constexpr double flops(Signature const& s) {
    return 2.0 * double(s.in[0].count()) * double(s.in[1][0]);
  }
  static constexpr void adjoint(auto& d) {
    Value const dx = apply<LinearCrossEntropyInput>(d.dy(), d.in(0), d.in(1), d.in(2), d.in(3));
    d.to(1, d.extra_of(dx, 0));
    d.to(0, dx);
  }
};

namespace detail {

/// Elements between rows of logits' gradients, which are stored like x in the logits' place.
constexpr std::int64_t slope_stride(std::int64_t vocabulary, DType low) {
  return vocabulary * (Bytes(sizeof(Real)) / size_of(low));
}

/// The products of so many tokens and so many words. Logits are real. dx is the sum over the blocks
/// of the vocabulary, real unless there is one.
template <class B>
struct LossProducts {
  using Gemm = typename B::template Gemm<Real>;
  Gemm logits;
  std::optional<Gemm> dx, dx_more, dweight, dweight_more;

  LossProducts(std::int64_t rows, std::int64_t words, std::int64_t vocabulary, std::int64_t width,
               DType low, bool gradient)
      : logits(
            {.m = rows, .n = words, .k = width, .transpose_b = true, .ldc = vocabulary, .in = low},
            B::gemm_workspace) {
    if (!gradient) return;
    bool const one = loss_block<B>(vocabulary, low) == vocabulary;
    GemmShape input{.m = rows,
                    .n = width,
                    .k = words,
                    .lda = slope_stride(vocabulary, low),
                    .in = low,
                    .out = one ? low : DType::real};
    GemmShape weight{.m = words,
                     .n = width,
                     .k = rows,
                     .transpose_a = true,
                     .lda = slope_stride(vocabulary, low),
                     .in = low};
    dx.emplace(input, B::gemm_workspace);
    dweight.emplace(weight, B::gemm_workspace);
    input.accumulate = weight.accumulate = true;
    if (!one) dx_more.emplace(input, B::gemm_workspace);
    dweight_more.emplace(weight, B::gemm_workspace);
  }
};

/// Walks the tokens in chunks, and products the vocabulary in blocks; with dx also the gradients.
template <class B>
class ChunkedLoss {
 public:
  ChunkedLoss(Shape x, Shape weight, DType low, bool gradient)
      : rows_(x.rows()),
        vocabulary_(weight[0]),
        width_(weight[1]),
        chunk_(loss_chunk(rows_, vocabulary_)),
        block_(loss_block<B>(vocabulary_, low)) {
    for (bool short_chunk : {false, true})
      for (bool short_block : {false, true}) {
        std::int64_t const n = short_chunk ? rows_ % chunk_ : chunk_;
        std::int64_t const words = short_block ? vocabulary_ % block_ : block_;
        if (n > 0 && words > 0)
          products_[short_chunk][short_block].emplace(n, words, vocabulary_, width_, low, gradient);
      }
  }
  /// One product's scratch, the logits of a chunk, a loss per row; where values are stored in 16
  /// bits, of several blocks, the sums for dx.
  static constexpr Bytes workspace(Shape x, Shape weight, DType low) {
    return Layout::of(x.rows(), weight[0], weight[1], low).end;
  }
  /// The scaled loss of these rows, and with dx also the gradients, which dy scales as well.
  template <class Low>
  void run(Call const& c, Real* loss, Low const* x, Low const* weight, std::int32_t const* targets,
           Real const* scale, Real const* dy = nullptr, Low* dx = nullptr,
           Real* dweight = nullptr) const {
    auto const team = B::team::on(c.queue);
    Layout const l = Layout::of(rows_, vocabulary_, width_, dtype_of<Low>);
    auto* const space = static_cast<std::byte*>(c.workspace);
    auto* const logits = reinterpret_cast<Real*>(space + l.logits);
    auto* const row_loss = reinterpret_cast<Real*>(space + l.row_loss);
    auto* const slopes = reinterpret_cast<Low*>(space + l.logits);
    auto* const sums = reinterpret_cast<Real*>(space + l.sums);
    bool const one = block_ == vocabulary_;
    auto const multiply = [&](auto const& product, auto const* a, auto const* b, auto* to) {
      product.run(a, b, to, nullptr, nullptr, space, c.queue);
    };
    for (std::int64_t first = 0; first < rows_; first += chunk_) {
      std::int64_t const n = std::min(chunk_, rows_ - first);
      Low* const xs_gradient = dx ? dx + first * width_ : nullptr;
      Low const* const xs = x + first * width_;
      each_block(n, [&](LossProducts<B> const& p, std::int64_t word) {
        multiply(p.logits, xs, weight + word * width_, logits + word);
      });
      Shape const of_chunk = shape_of(n, vocabulary_);
      team.run(kernel::CrossEntropy<Real, Low>{.logits = {logits, of_chunk},
                                               .row_loss = {row_loss + first, shape_of(n)},
                                               .targets = {targets + first, shape_of(n)},
                                               .scale = scale,
                                               .factor = dy,
                                               .gradient = {dx ? slopes : nullptr, of_chunk},
                                               .stride = slope_stride(vocabulary_, dtype_of<Low>)});
      if (!dx) continue;
      auto const to = [&] {
        if constexpr (!std::is_same_v<Low, Real>)
          return one ? static_cast<void*>(xs_gradient) : sums;
        else
          return xs_gradient;
      }();
      each_block(n, [&](LossProducts<B> const& p, std::int64_t word) {
        multiply(first > 0 || c.accumulate[1] ? *p.dweight_more : *p.dweight, slopes + word, xs,
                 dweight + word * width_);
        multiply(word > 0 ? *p.dx_more : *p.dx, slopes + word, weight + word * width_, to);
      });
      if (!one) {
        Shape const of_input = shape_of(n, width_);
        team.run(kernel::Convert<Low, Real>{.y = {xs_gradient, of_input}, .x = {sums, of_input}});
      }
    }
    team.run(kernel::TotalLoss<Real>{loss, {row_loss, shape_of(rows_)}, scale});
  }

 private:
  /// Offsets in the workspace, behind the products' own.
  struct Layout {
    Bytes logits, row_loss, sums, end;
    static constexpr Layout of(std::int64_t rows, std::int64_t vocabulary, std::int64_t width,
                               DType low) {
      Layout l{.logits = B::gemm_workspace, .row_loss = 0, .sums = 0, .end = 0};
      std::int64_t const chunk = loss_chunk(rows, vocabulary), count = chunk * vocabulary;
      Bytes const real = Bytes(sizeof(Real));
      l.row_loss = l.logits + aligned(count * real);
      l.sums = l.row_loss + aligned(rows * real);
      bool const one = loss_block<B>(vocabulary, low) == vocabulary;
      l.end = l.sums + (one ? 0 : aligned(chunk * width * real));
      return l;
    }
  };

  /// f(products, first word) for the blocks of the vocabulary of a chunk of n tokens.
  template <class F>
  void each_block(std::int64_t n, F const& f) const {
    for (std::int64_t word = 0; word < vocabulary_; word += block_)
      f(*products_[n < chunk_][vocabulary_ - word < block_], word);
  }

  std::int64_t rows_, vocabulary_, width_, chunk_, block_;
  std::optional<LossProducts<B>> products_[2][2];  // [the short chunk][the short block]
};

}  // namespace detail

template <class B>
struct kernels<LinearCrossEntropy, B> {
  using Loss = detail::ChunkedLoss<B>;
  static constexpr Bytes workspace(Signature const& s) {
    return Loss::workspace(s.in[0], s.in[1], s.low);
  }
  static Loss prepare(Signature const& s) { return {s.in[0], s.in[1], s.low, false}; }
  template <class Low>
  static void run(Call const& c, View<Real> loss, View<Low const> x, View<Low const> weight,
                  View<std::int32_t const> targets, View<Real const> scale) {
    static_cast<Loss*>(c.state)->template run<Low>(c, loss.at, x.at, weight.at, targets.at,
                                                   scale.at);
  }
};
template <class B>
struct kernels<LinearCrossEntropyInput, B> {
  using Loss = detail::ChunkedLoss<B>;
  static constexpr Bytes workspace(Signature const& s) {
    return Loss::workspace(s.in[1], s.in[2], s.low);
  }
  static Loss prepare(Signature const& s) { return {s.in[1], s.in[2], s.low, true}; }
  /// dy scales the gradients only: where it is not 1, the loss is still the model's.
  template <class Low>
  static void run(Call const& c, View<Low> dx, View<Real const> dy, View<Low const> x,
                  View<Low const> weight, View<std::int32_t const> targets, View<Real const> scale,
                  View<Real> dweight, View<Real> loss) {
    static_cast<Loss*>(c.state)->template run<Low>(c, loss.at, x.at, weight.at, targets.at,
                                                   scale.at, dy.at, dx.at, dweight.at);
  }
};
static_assert(complete<LinearCrossEntropy> && complete<LinearCrossEntropyInput>);

/// Mean cross-entropy over the valid targets of the global batch; weight [vocabulary, C]. Targets
/// of -1 are ignored.
constexpr Value linear_cross_entropy(Value x, ParameterSlot const& weight) {
  return apply<LinearCrossEntropy>(x, weight, targets(x), field(x, Field::loss_scale));
}

}  // namespace tessera::inline TESSERA_SETTING
