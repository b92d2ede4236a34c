/// Accumulate<N>: micro-batches per step.
#pragma once

#include <tessera/policy/policy.hpp>

namespace tessera::inline TESSERA_SETTING {
namespace rule {
template <int N>
struct AccumulateIsPositive {
  static_assert(Positive<N>, "Accumulate<N>: N must be positive; 1 is one micro-batch per step");
};
}  // namespace rule

/// Adds the gradients of N micro-batches, in order, before the optimizer steps.
/// Rewrites  forward and backward rows run N times per step
/// Refuses   N below 1 (rule::AccumulateIsPositive); together with GlobalBatch
template <int N>
struct Accumulate : rule::AccumulateIsPositive<N> {
  static constexpr std::string_view name = "Accumulate";
  static constexpr void set(Layout& layout) { layout.accumulate = N; }
};
static_assert(Policy<Accumulate<8>>);

}  // namespace tessera::inline TESSERA_SETTING
