/// Batch<Sequences, Tokens>: the micro-batch of one rank.
#pragma once

#include <tessera/core/sample.hpp>
#include <tessera/policy/policy.hpp>

namespace tessera::inline TESSERA_SETTING {
namespace rule {
template <int Sequences, int Tokens>
struct BatchIsPositive {
  static_assert(Positive<Sequences> && Positive<Tokens>,
                "Batch<Sequences, Tokens>: both must be positive");
};
}  // namespace rule

/// What one rank computes at a time: Sequences of Tokens each.
/// Bytes    activations grow with Sequences * Tokens
/// Refuses  sizes below 1 (rule::BatchIsPositive)
template <int Sequences, int Tokens>
struct Batch : rule::BatchIsPositive<Sequences, Tokens> {
  static constexpr std::string_view name = "Batch";
  using input = TokenSequence<Tokens>;
  using target = input;
  static constexpr SampleBatch batch = token_batch(Sequences, Tokens);
  static constexpr void set(Layout& layout) {
    layout.sequences = Sequences;
    layout.tokens = Tokens;
  }
};
static_assert(Policy<Batch<4, 1024>>);

}  // namespace tessera::inline TESSERA_SETTING
