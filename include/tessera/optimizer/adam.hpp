/// Adam: decay joins the gradient, and with it the moments. Kingma, Ba, arXiv 1412.6980.
#pragma once

#include <tessera/core/team.hpp>
#include <tessera/kernels/adam.hpp>
#include <tessera/optimizer/optimizer.hpp>
#include <tessera/policy/policy.hpp>

#include <cmath>

namespace tessera::inline TESSERA_SETTING {

namespace detail {

template <bool Decoupled, Team Threads, class Range>
void adam_step(Threads const& team, Range const& r, StepValues const& v) {
  with_any_weights(r, [&]<class Weights>(Weights w) {
    team.run(kernel::Adam<Real, Weights, Decoupled>{
        .w = w,
        .m = r.template state<Weights>(0),
        .v = r.template state<Weights>(1),
        .g = r.gradients,
        .n = r.elements,
        .lr = v.rate,
        .beta1 = v.beta1,
        .beta2 = v.beta2,
        .eps = v.epsilon,
        .decay = v.decay,
        .correction1 = 1 / (1 - std::pow(v.beta1, double(v.step))),
        .correction2 = 1 / (1 - std::pow(v.beta2, double(v.step))),
        .gradient_scale = v.gradient_scale});
  });
}

/// Bytes  8 per trainable weight in float, 4 with StochasticRounding: two moments; sharded from
///        Zero<1> on
struct Moments {
  static constexpr bool is_optimizer = true;
  static constexpr int states = 2;
  static constexpr std::array<std::string_view, 2> state_names{"exp_avg", "exp_avg_sq"};
  static constexpr void set(Layout& layout) { layout.states = states; }
};

}  // namespace detail

/// torch.optim.Adam without amsgrad.
struct Adam : detail::Moments {
  static constexpr std::string_view name = "Adam";
  static constexpr bool rounds_stochastically = true;
  template <Team T, class Range = StepRange>
  static void step(T const& team, Range const& r, StepValues const& v) {
    detail::adam_step<false>(team, r, v);
  }
};
static_assert(Optimizer<Adam>);

}  // namespace tessera::inline TESSERA_SETTING
