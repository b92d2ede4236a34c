/// AdamW: Adam with decoupled weight decay. Loshchilov, Hutter, arXiv 1711.05101.
#pragma once

#include <tessera/optimizer/adam.hpp>

namespace tessera::inline TESSERA_SETTING {

/// torch.optim.AdamW without amsgrad.
struct AdamW : detail::Moments {
  static constexpr std::string_view name = "AdamW";
  static constexpr bool rounds_stochastically = true;
  template <Team T, class Range = StepRange>
  static void step(T const& team, Range const& r, StepValues const& v) {
    detail::adam_step<true>(team, r, v);
  }
};
static_assert(Optimizer<AdamW>);

}  // namespace tessera::inline TESSERA_SETTING
