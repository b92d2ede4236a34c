/// Reduce<Step> or Reduce<Micro>: how often gradients cross the data axis.
#pragma once

#include <tessera/policy/policy.hpp>

namespace tessera::inline TESSERA_SETTING {

/// Rewrites  reduce rows run after the last micro-batch (Step) or after each (Micro)
/// Bytes     gradients G, n ranks, M micro-batches: memory G, G (n-1)/n carried (Step); memory G/n
///           and two slots, M G (n-1)/n carried (Micro)
/// Default   Step for Zero<0> and <1>, Micro for Zero<2> and <3>
template <Reduction When>
struct Reduce {
  static constexpr std::string_view name = "Reduce";
  static constexpr void set(Layout& layout) { layout.reduce = When; }
};
static_assert(Policy<Reduce<Step>>);

}  // namespace tessera::inline TESSERA_SETTING
