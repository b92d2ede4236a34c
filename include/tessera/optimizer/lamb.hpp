/// LAMB: Adam's direction, and for every tensor a step in proportion to its weights. You et al.,
/// arXiv 1904.00962.
#pragma once

#include <tessera/kernels/lamb.hpp>
#include <tessera/kernels/reduce.hpp>
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

  template <Team T, class Range = StepRange>
  static void prepare(T const& team, Range const& r, StepValues const& v) {
    std::int64_t const most = std::int64_t(r.scratch.size()) / 2 * kernel::LambMoments<Real>::piece;
    for (std::int64_t at = 0; at < r.elements; at += most)
      add_moments(team, r.from(at, std::min(most, r.elements - at)), v, at > 0);
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
                                               .eps = v.epsilon,
                                               .decay = v.decay,
                                               .correction1 = correction(v.beta1, v.step),
                                               .correction2 = correction(v.beta2, v.step)});
    });
  }

 private:
  static double correction(double beta, std::int64_t step) {
    return 1 / (1 - std::pow(beta, double(step)));
  }

  /// Pieces are added in order, so a tensor's part has the same sum whoever computes it.
  template <Team T, class Range = StepRange>
  static void add_moments(T const& team, Range const& r, StepValues const& v, bool accumulate) {
    double* const partial = r.scratch.data();
    with_weights(r, [&]<class Weights>(Weights w) {
      kernel::LambMoments<Real, Weights> const pass{.partial = partial,
                                                    .w = w,
                                                    .m = r.states[0],
                                                    .v = r.states[1],
                                                    .g = r.gradients,
                                                    .n = r.elements,
                                                    .beta1 = v.beta1,
                                                    .beta2 = v.beta2,
                                                    .eps = v.epsilon,
                                                    .decay = v.decay,
                                                    .correction1 = correction(v.beta1, v.step),
                                                    .correction2 = correction(v.beta2, v.step),
                                                    .gradient_scale = v.gradient_scale};
      team.run(pass);
      team.run(kernel::AddInOrder{.to = r.sums,
                                  .x = partial,
                                  .n = pass.rows(),
                                  .stride = 2,
                                  .sums = 2,
                                  .accumulate = accumulate});
    });
  }
};
static_assert(Optimizer<Lamb>);

}  // namespace tessera::inline TESSERA_SETTING
