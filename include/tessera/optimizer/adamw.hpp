/// AdamW: Adam with decoupled weight decay. Loshchilov, Hutter, arXiv 1711.05101.
#pragma once

#include <tessera/backend/enabled.hpp>
#include <tessera/kernels/adamw.hpp>
#include <tessera/optimizer/optimizer.hpp>
#include <tessera/policy/policy.hpp>

#include <cmath>

namespace tessera::inline TESSERA_SETTING {

/// Bytes  8 per trainable weight in float: two moments; sharded from Zero<1> on
struct AdamW {
  static constexpr std::string_view name = "AdamW";
  static constexpr bool is_optimizer = true;
  static constexpr int states = 2;
  static constexpr std::array<std::string_view, 2> state_names{"exp_avg", "exp_avg_sq"};
  static constexpr void set(Layout& layout) { layout.states = states; }

  static void step(StepRange const& r, StepValues const& v) {
    with_weights(r, [&]<class Weights>(Weights w) {
      CpuTeam{}.run(
          kernel::AdamW<Real, Weights>{.w = w,
                                       .m = r.states[0],
                                       .v = r.states[1],
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
};
static_assert(Optimizer<AdamW>);

}  // namespace tessera::inline TESSERA_SETTING
