/// Adagrad: a rate per weight that falls with its gradients. Duchi, Hazan, Singer, JMLR 12, 2011.
#pragma once

#include <tessera/kernels/adagrad.hpp>
#include <tessera/optimizer/optimizer.hpp>
#include <tessera/policy/policy.hpp>

namespace tessera::inline TESSERA_SETTING {

/// torch.optim.Adagrad without lr_decay: the rate is the schedule's. Decay joins the gradient.
/// Bytes  4 per trainable weight in float, 2 with StochasticRounding: the sum of squares; sharded
///        from Zero<1> on
struct Adagrad {
  static constexpr std::string_view name = "Adagrad";
  static constexpr bool is_optimizer = true, rounds_stochastically = true;
  static constexpr int states = 1;
  static constexpr std::array<std::string_view, 1> state_names{"sum"};
  static constexpr StepValues defaults{.epsilon = 1e-10};  // torch's
  static constexpr void set(Layout& layout) { layout.states = states; }

  template <Team T, class Range = StepRange>
  static void step(T const& team, Range const& r, StepValues const& v) {
    with_any_weights(r, [&]<class Weights>(Weights w) {
      team.run(kernel::Adagrad<Real, Weights>{.w = w,
                                              .s = r.template state<Weights>(0),
                                              .g = r.gradients,
                                              .n = r.elements,
                                              .lr = v.rate,
                                              .eps = v.epsilon,
                                              .decay = v.decay,
                                              .gradient_scale = v.gradient_scale});
    });
  }
};
static_assert(Optimizer<Adagrad>);

}  // namespace tessera::inline TESSERA_SETTING
