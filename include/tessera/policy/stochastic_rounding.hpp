/// StochasticRounding: bf16 weights and optimizer states, with no exact weights beside them.
#pragma once

#include <tessera/policy/policy.hpp>

namespace tessera::inline TESSERA_SETTING {

/// With Precision<bf16>, every weight and state that a step writes goes up or down at random, so
/// that it is right on average and a small step is not lost (kernels/rounding.hpp). The numbers are
/// keyed by (seed, step, path, element): no layout and no resume changes them. First values and
/// what is set by path are the nearest bf16. Zamirai et al., "Revisiting BFloat16 Training", arXiv
/// 2010.06192; torchao's optimizers do so with weights (bf16_stochastic_round).
/// Bytes    a weight 2 and a state 2: of AdamW 6 in place of 12; checkpoints, too
/// Refuses  other types (rule::StochasticRoundingOfBf16), optimizers that step float states only,
///          as Lamb and Muon do (rule::OptimizerRoundsStochastically)
struct StochasticRounding {
  static constexpr std::string_view name = "StochasticRounding";
  static constexpr void set(Layout& layout) { layout.stochastic = true; }
};
static_assert(Policy<StochasticRounding>);

}  // namespace tessera::inline TESSERA_SETTING
