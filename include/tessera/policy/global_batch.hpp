/// GlobalBatch<N>: sequences per step over all ranks; micro-batches follow at launch.
#pragma once

#include <tessera/policy/policy.hpp>

#include <cstdint>

namespace tessera::inline TESSERA_SETTING {
namespace rule {
template <std::int64_t N>
struct GlobalBatchIsPositive {
  static_assert(Positive<N>, "GlobalBatch<N>: N sequences per step must be positive");
};
}  // namespace rule

/// Derives Accumulate when the data degree is known: N / (Sequences * data).
/// Refuses  N below 1 (rule::GlobalBatchIsPositive); together with Accumulate; at launch: an N that
///          does not divide (micros_of is 0)
template <std::int64_t N>
struct GlobalBatch : rule::GlobalBatchIsPositive<N> {
  static constexpr std::string_view name = "GlobalBatch";
  static constexpr void set(Layout& layout) { layout.global_batch = N; }
};
static_assert(Policy<GlobalBatch<32>>);

}  // namespace tessera::inline TESSERA_SETTING
