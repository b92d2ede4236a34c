/// Strict's order of summation: a binary tree over the samples of a global batch.
///
/// A rank's samples come one after another, so the sum over a finished subtree waits in an
/// accumulator until its neighbour is finished too. Accumulators are a stack: as many are in use as
/// the number of finished leaves has ones in binary.
#pragma once

#include <tessera/plan/layout.hpp>

#include <bit>

namespace tessera::inline TESSERA_SETTING {

struct SampleTree {
  int leaf = 1;    // samples that one accumulator takes one behind the other
  int leaves = 1;  // of one rank: a power of two

  /// Accumulators in use at most.
  constexpr int accumulators() const { return std::bit_width(unsigned(leaves)); }
  /// The one that a sample's gradient enters.
  constexpr int accumulator(int sample) const { return std::popcount(unsigned(sample / leaf)); }
  /// Is it empty before?
  constexpr bool opens(int sample) const { return sample % leaf == 0; }
  /// Accumulators below it that the sample completes: they and it are one sum now.
  constexpr int completes(int sample) const {
    return (sample + 1) % leaf ? 0 : std::countr_one(unsigned(sample / leaf));
  }
};

/// Samples that are added in order: the global batch halved while that leaves whole samples and at
/// least `group` of them.
constexpr std::int64_t leaf_of(std::int64_t samples, int group) {
  while (samples % 2 == 0 && samples / 2 >= group) samples /= 2;
  return samples;
}

/// Each of `data` ranks has `samples` of the global batch's. leaves = 0: they do not divide its
/// leaves.
constexpr SampleTree sample_tree(int group, int samples, int data) {
  std::int64_t const leaf = leaf_of(std::int64_t(samples) * data, group);
  return {int(leaf), samples % leaf == 0 ? int(samples / leaf) : 0};
}

}  // namespace tessera::inline TESSERA_SETTING
