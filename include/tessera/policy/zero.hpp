/// Zero<Stage>: what the data ranks share instead of each holding it whole.
#pragma once

#include <tessera/policy/policy.hpp>

namespace tessera::inline TESSERA_SETTING {
namespace rule {
template <int Stage>
struct ZeroStage {
  static_assert(AtMost<0, Stage> && AtMost<Stage, 3>,
                "Zero<Stage>: Stage is 0 (off), 1 (optimizer state), 2 (+ gradients) or 3 (+ "
                "parameters)");
};
}  // namespace rule

/// Shards over the data axis: optimizer state (Stage >= 1), gradients (>= 2), parameters (3).
/// Rewrites  parameters are gathered before each pass that reads them (3) or after the step (1, 2);
///           every gradient is reduced by the rank that owns the part (0: and gathered for all)
/// Bytes     per rank and step on n ranks, gradients G, weights W: (2 G | G + W | G + W | G + what
///           its gathers carry) (n-1)/n
/// Refuses   Stage outside 0..3 (rule::ZeroStage)
template <int Stage>
struct Zero : rule::ZeroStage<Stage> {
  static constexpr std::string_view name = "Zero";
  static constexpr void set(Layout& layout) { layout.zero = Stage; }
};
static_assert(Policy<Zero<3>>);

}  // namespace tessera::inline TESSERA_SETTING
