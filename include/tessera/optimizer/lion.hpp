/// Lion: steps of one size along the sign of a momentum. Chen et al., arXiv 2302.06675.
#pragma once

#include <tessera/kernels/lion.hpp>
#include <tessera/optimizer/optimizer.hpp>
#include <tessera/policy/policy.hpp>

namespace tessera::inline TESSERA_SETTING {

/// The paper takes a rate 3 to 10 times smaller than AdamW's, and as much more decay.
/// Bytes  4 per trainable weight in float, 2 with StochasticRounding: the momentum; sharded from
///        Zero<1> on
struct Lion {
  static constexpr std::string_view name = "Lion";
  static constexpr bool is_optimizer = true, rounds_stochastically = true;
  static constexpr int states = 1;
  static constexpr std::array<std::string_view, 1> state_names{"exp_avg"};
  static constexpr StepValues defaults{.beta2 = 0.99};  // the paper's
  static constexpr void set(Layout& layout) { layout.states = states; }

  template <Team T, class Range = StepRange>
  static void step(T const& team, Range const& r, StepValues const& v) {
    with_any_weights(r, [&]<class Weights>(Weights w) {
      team.run(kernel::Lion<Real, Weights>{.w = w,
                                           .m = r.template state<Weights>(0),
                                           .g = r.gradients,
                                           .n = r.elements,
                                           .lr = v.rate,
                                           .beta1 = v.beta1,
                                           .beta2 = v.beta2,
                                           .decay = v.decay,
                                           .gradient_scale = v.gradient_scale});
    });
  }
};
static_assert(Optimizer<Lion>);

}  // namespace tessera::inline TESSERA_SETTING
