/// Strict<Group>: sums of gradients that no split into micro-batches and data ranks changes.
#pragma once

#include <tessera/policy/policy.hpp>

namespace tessera::inline TESSERA_SETTING {
namespace rule {
template <int Group>
struct StrictGroupIsPositive {
  static_assert(Positive<Group>,
                "Strict<Group>: Group is the number of samples that are added in order; use 1 or "
                "more");
};
template <bool Micro>
struct StrictReducesOnce {
  static_assert(
      !Micro,
      "Strict adds the samples of a rank before those of other ranks, which Reduce<Micro> "
      "does not; leave one of them out");
};
template <bool Unordered>
struct StrictReducesInOrder {
  static_assert(!Unordered,
                "Strict adds ranks in an order that no layout changes, which UnorderedReduce does "
                "not; leave one of them out");
};
template <bool Sums>
struct StrictTakesNoSums {
  static_assert(
      !Sums,
      "Strict: this optimizer adds sums over a tensor part by part, and parts change with "
      "the number of data ranks; use another one, such as AdamW, or leave Strict out");
};
}  // namespace rule

/// The same weights, bit for bit, for every micro-batch size, every Accumulate and every power of
/// two of data ranks that have as many threads each, as long as the global batch has the same
/// samples and each rank at least Group of them.
///
/// Rewrites  a micro-batch is one sequence, also for layers that look across samples (BatchNorm);
///           gradients of Group samples are added in order, these groups by a binary tree, first of
///           a rank's, then of the ranks'; each segment that uses a tied parameter has accumulators
///           of its own, added in the order of the segments
/// Bytes     log2(samples of a rank / Group) more buffers of gradients
/// Refuses   Group below 1 (rule::StrictGroupIsPositive), Reduce<Micro> (rule::StrictReducesOnce),
///           UnorderedReduce (rule::StrictReducesInOrder), optimizers that need sums over tensors
///           (rule::StrictTakesNoSums); at run time data ranks that do not divide the number of
///           groups
template <int Group = 1>
struct Strict : rule::StrictGroupIsPositive<Group> {
  static constexpr std::string_view name = "Strict";
  static constexpr void set(Layout& layout) { layout.strict = Group; }
};
static_assert(Policy<Strict<>>);

/// A micro-batch of many sequences becomes as many of one.
constexpr void split_samples(Layout& layout) {
  if (layout.strict == 0) return;
  layout.accumulate *= layout.sequences;
  layout.sequences = 1;
}

}  // namespace tessera::inline TESSERA_SETTING
