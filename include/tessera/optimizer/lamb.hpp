/// LAMB: Adam's direction, and for every tensor a step in proportion to its weights. You et al.,
/// arXiv 1904.00962.
#pragma once

#include <tessera/kernels/exact_sum.hpp>
#include <tessera/kernels/lamb.hpp>
#include <tessera/optimizer/adam.hpp>

#include <algorithm>

namespace tessera::inline TESSERA_SETTING {

/// Algorithm 2 of the paper; for each tensor, with u = m' / (sqrt(v') + eps) + decay w,
///   w = w - rate ratio u, ratio = |w| / |u| within [trust_least, trust_most], 1 if either is 0
/// The bounds are min_coeff and max_coeff of DeepSpeed's FusedLamb, which corrects the step for the
/// moments' bias where the paper corrects the moments.
/// Bytes  8 per trainable weight in float: two moments; sharded from Zero<1> on. And 16 per tensor
///        for each data rank and for all: sums of squares, exchanged from Zero<1> on
struct Lamb : detail::Moments {
  static constexpr std::string_view name = "Lamb";
  static constexpr StepValues defaults{.epsilon = 1e-6};  // the authors'
  static constexpr void set(Layout& layout) {
    detail::Moments::set(layout);
    layout.across = Across::sums;
  }

  /// Sums are exact before they are rounded, so a tensor's part has the same ones whoever computes
  /// it, and however many pieces the scratch holds at a time.
  template <Team T, class Range = StepRange>
  static void prepare(T const& team, Range const& r, StepValues const& v) {
    Scratch const scratch(r.scratch, r.elements);
    std::int64_t const most = scratch.pieces * piece;
    for (std::int64_t at = 0; at < r.elements; at += most)
      add_moments(team, r.from(at, std::min(most, r.elements - at)), v, scratch, at > 0);
    team.run(kernel::AddSums{
        .total = scratch.total, .sums = scratch.sums, .parts = scratch.parts, .width = 2});
    team.run(kernel::RoundSums{.rounded = r.sums, .total = scratch.total, .n = 2});
  }

  template <Team T, class Range = StepRange>
  static void step(T const& team, Range const& r, StepValues const& v) {
    with_weights(r, [&]<class Weights>(Weights w) {
      team.run(kernel::LambStep<Real, Weights>{.w = w,
                                               .m = r.states[0],
                                               .v = r.states[1],
                                               .n = r.elements,
                                               .sums = r.sums,
                                               .rate = v.rate,
                                               .least = v.trust_least,
                                               .most = v.trust_most,
                                               .update = update(v)});
    });
  }

 private:
  static kernel::LambUpdate<Real> update(StepValues const& v) {
    auto const correction = [&](double beta) { return 1 / (1 - std::pow(beta, double(v.step))); };
    return {correction(v.beta1), correction(v.beta2), v.epsilon, v.decay};
  }

  static constexpr std::int64_t piece = kernel::LambMoments<Real>::piece;

  /// What lies in the scratch of a pass: two exact sums of all and of each part, and then as many
  /// pieces' sums, two by two, as there is room for. That is one of each at least.
  struct Scratch {
    ExactSum *total, *sums;
    double* partial;
    std::int64_t parts, pieces;

    Scratch(std::span<double> all, std::int64_t elements) {
      constexpr std::int64_t pair = 2 * std::int64_t(sizeof(ExactSum) / sizeof(double));
      std::int64_t const doubles = std::int64_t(all.size());
      parts = kernel::SumExactly::parts_of((elements + piece - 1) / piece,
                                           std::max<std::int64_t>(1, doubles / (4 * pair)));
      pieces = (doubles - (1 + parts) * pair) / 2;
      total = reinterpret_cast<ExactSum*>(all.data());
      sums = total + 2;
      partial = all.data() + (1 + parts) * pair;
    }
  };

  template <Team T, class Range = StepRange>
  static void add_moments(T const& team, Range const& r, StepValues const& v,
                          Scratch const& scratch, bool accumulate) {
    with_weights(r, [&]<class Weights>(Weights w) {
      kernel::LambMoments<Real, Weights> const pass{.partial = scratch.partial,
                                                    .w = w,
                                                    .m = r.states[0],
                                                    .v = r.states[1],
                                                    .g = r.gradients,
                                                    .n = r.elements,
                                                    .beta1 = v.beta1,
                                                    .beta2 = v.beta2,
                                                    .update = update(v),
                                                    .gradient_scale = v.gradient_scale};
      team.run(pass);
      team.run(kernel::SumExactly{.sums = scratch.sums,
                                  .x = scratch.partial,
                                  .n = pass.rows(),
                                  .parts = scratch.parts,
                                  .width = 2,
                                  .accumulate = accumulate});
    });
  }
};
static_assert(Optimizer<Lamb>);

}  // namespace tessera::inline TESSERA_SETTING
