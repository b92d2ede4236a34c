/// SGD with momentum, after Nesterov or not. Sutskever, Martens, Dahl, Hinton, ICML 2013.
#pragma once

#include <tessera/kernels/sgd.hpp>
#include <tessera/optimizer/optimizer.hpp>
#include <tessera/policy/policy.hpp>

namespace tessera::inline TESSERA_SETTING {

/// torch.optim.SGD, its options Options::momentum and Options::nesterov; decay joins the gradient.
/// Bytes  4 per trainable weight in float, 2 with StochasticRounding: the momentum; sharded from
///        Zero<1> on
struct Sgd {
  static constexpr std::string_view name = "Sgd";
  static constexpr bool is_optimizer = true, rounds_stochastically = true;
  static constexpr int states = 1;
  static constexpr std::array<std::string_view, 1> state_names{"momentum_buffer"};
  static constexpr void set(Layout& layout) { layout.states = states; }

  template <Team T, class Range = StepRange>
  static void step(T const& team, Range const& r, StepValues const& v) {
    with_any_weights(r, [&]<class Weights>(Weights w) {
      team.run(kernel::Sgd<Real, Weights>{.w = w,
                                          .b = r.template state<Weights>(0),
                                          .g = r.gradients,
                                          .n = r.elements,
                                          .lr = v.rate,
                                          .momentum = v.momentum,
                                          .decay = v.decay,
                                          .nesterov = v.nesterov,
                                          .gradient_scale = v.gradient_scale});
    });
  }
};
static_assert(Optimizer<Sgd>);

}  // namespace tessera::inline TESSERA_SETTING
