/// Projection to the vocabulary and cross-entropy in one op, a chunk of tokens at a time: the
/// logits never exist whole. Its adjoint computes the loss on the way, so training makes them once.
///
///   loss = loss_scale * sum over valid tokens of (log sum exp(weight x) - (weight x)[target])
#pragma once

#include <tessera/backend/cpu/gemm.hpp>
#include <tessera/backend/enabled.hpp>
#include <tessera/graph/adjoint.hpp>
#include <tessera/kernels/cross_entropy.hpp>

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

struct LinearCrossEntropyInput {  // operands: dy, x, weight, targets, loss_scale
  static constexpr std::string_view name = "linear_cross_entropy_dx";
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

/// The products of one chunk length. Logits are real; their gradient is stored like x.
struct LossProducts {
  Gemm<Real> logits;
  std::optional<Gemm<Real>> dx, dweight, dweight_more;
  static LossProducts make(std::int64_t rows, std::int64_t vocabulary, std::int64_t width,
                           DType low, bool gradient) {
    Bytes const limit = Cpu::gemm_workspace;
    GemmShape const logits{.m = rows, .n = vocabulary, .k = width, .transpose_b = true, .in = low};
    LossProducts p{.logits = {logits, limit}, .dx = {}, .dweight = {}, .dweight_more = {}};
    if (!gradient) return p;
    GemmShape weight{.m = vocabulary, .n = width, .k = rows, .transpose_a = true, .in = low};
    p.dx.emplace(GemmShape{.m = rows, .n = width, .k = vocabulary, .in = low, .out = low}, limit);
    p.dweight.emplace(weight, limit);
    weight.accumulate = true;
    p.dweight_more.emplace(weight, limit);
    return p;
  }
};

/// Walks the tokens in chunks; with dx also the gradients.
struct ChunkedLoss {
  std::int64_t rows, vocabulary, width, chunk;
  LossProducts full;
  std::optional<LossProducts> rest;

  static ChunkedLoss make(Shape x, Shape weight, DType low, bool gradient) {
    std::int64_t const chunk = loss_chunk(x.rows(), weight[0]);
    ChunkedLoss l{x.rows(),
                  weight[0],
                  weight[1],
                  chunk,
                  LossProducts::make(chunk, weight[0], weight[1], low, gradient),
                  {}};
    if (std::int64_t const left = l.rows % chunk)
      l.rest = LossProducts::make(left, weight[0], weight[1], low, gradient);
    return l;
  }
  /// One product's scratch, the logits of a chunk, a loss per row, and 16-bit gradients of logits.
  static constexpr Bytes workspace(Shape x, Shape weight, DType low) {
    std::int64_t const chunk = loss_chunk(x.rows(), weight[0]), logits = chunk * weight[0];
    return Cpu::gemm_workspace + aligned(logits * Bytes(sizeof(Real))) +
           aligned(chunk * Bytes(sizeof(Real))) +
           (low == DType::real ? 0 : aligned(logits * size_of(low)));
  }
  /// Returns the scaled loss of these rows.
  template <class Low>
  Real run(void* workspace, Low const* x, Low const* weight, std::int32_t const* targets,
           Real scale, Low* dx, Real* dweight, bool accumulate) const {
    auto* const gemm_space = static_cast<std::byte*>(workspace);
    std::byte* at = gemm_space + Cpu::gemm_workspace;
    auto* const logits = reinterpret_cast<Real*>(at);
    auto* const row_loss =
        reinterpret_cast<Real*>(at += aligned(chunk * vocabulary * Bytes(sizeof(Real))));
    auto* slopes = reinterpret_cast<Low*>(at + aligned(chunk * Bytes(sizeof(Real))));
    if constexpr (std::is_same_v<Low, Real>) slopes = logits;
    double sum = 0;
    for (std::int64_t first = 0; first < rows; first += chunk) {
      std::int64_t const n = std::min(chunk, rows - first);
      LossProducts const& p = n == chunk ? full : *rest;
      Low const* const xs = x + first * width;
      p.logits.run(xs, weight, logits, nullptr, nullptr, gemm_space);
      Shape const of_chunk = shape_of(n, vocabulary);
      CpuTeam{}.run(kernel::CrossEntropy<Real, Low>{.logits = {logits, of_chunk},
                                                    .row_loss = {row_loss, shape_of(n)},
                                                    .targets = {targets + first, shape_of(n)},
                                                    .scale = scale,
                                                    .gradient = {dx ? slopes : nullptr, of_chunk}});
      for (std::int64_t r = 0; r < n; ++r) sum += double(row_loss[r]);
      if (!dx) continue;
      (first > 0 || accumulate ? p.dweight_more : p.dweight)
          ->run(slopes, xs, dweight, nullptr, nullptr, gemm_space);
      p.dx->run(slopes, weight, dx + first * width, nullptr, nullptr, gemm_space);
    }
    return Real(sum * double(scale));
  }
};

}  // namespace detail

template <>
struct kernels<LinearCrossEntropy, Cpu> {
  static constexpr Bytes workspace(Signature const& s) {
    return detail::ChunkedLoss::workspace(s.in[0], s.in[1], s.low);
  }
  static detail::ChunkedLoss prepare(Signature const& s) {
    return detail::ChunkedLoss::make(s.in[0], s.in[1], s.low, false);
  }
  template <class Low>
  static void run(Call const& c, View<Real> loss, View<Low const> x, View<Low const> weight,
                  View<std::int32_t const> targets, View<Real const> scale) {
    loss[0] = static_cast<detail::ChunkedLoss*>(c.state)->run<Low>(
        c.workspace, x.at, weight.at, targets.at, scale[0], nullptr, nullptr, false);
  }
};
template <>
struct kernels<LinearCrossEntropyInput, Cpu> {
  static constexpr Bytes workspace(Signature const& s) {
    return detail::ChunkedLoss::workspace(s.in[1], s.in[2], s.low);
  }
  static detail::ChunkedLoss prepare(Signature const& s) {
    return detail::ChunkedLoss::make(s.in[1], s.in[2], s.low, true);
  }
  template <class Low>
  static void run(Call const& c, View<Low> dx, View<Real const> dy, View<Low const> x,
                  View<Low const> weight, View<std::int32_t const> targets, View<Real const> scale,
                  View<Real> dweight, View<Real> loss) {
    // The loss is the whole model's when dy is 1; another factor scales the gradients only.
    Real const value = static_cast<detail::ChunkedLoss*>(c.state)->run<Low>(
        c.workspace, x.at, weight.at, targets.at, dy[0] * scale[0], dx.at, dweight.at,
        c.accumulate[1]);
    loss[0] = dy[0] == Real(0) ? Real(0) : value / dy[0];
  }
};
static_assert(complete<LinearCrossEntropy> && complete<LinearCrossEntropyInput>);

/// Mean cross-entropy over the valid targets of the global batch; weight [vocabulary, C]. Targets
/// of
/// -1 are ignored.
constexpr Value linear_cross_entropy(Value x, ParameterSlot const& weight) {
  Value const targets = field(x, Field::targets, shape_of(x.shape()[0], x.shape()[1]));
  Value const scale = field(x, Field::loss_scale, shape_of(1));
  return apply<LinearCrossEntropy>(x, weight, targets, scale);
}

}  // namespace tessera::inline TESSERA_SETTING
