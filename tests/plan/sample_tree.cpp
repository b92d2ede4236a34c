// static
/// Strict's stack of accumulators, followed by hand.
#include <tessera/plan/sample_tree.hpp>

using namespace tessera;

// Leaves: halved while whole and large enough.
static_assert(leaf_of(8, 1) == 1 && leaf_of(8, 2) == 2 && leaf_of(8, 3) == 4 && leaf_of(8, 9) == 8);
static_assert(leaf_of(12, 1) == 3 && leaf_of(12, 4) == 6 && leaf_of(7, 1) == 7);

// A global batch of 12 is four leaves of three: 1, 2 and 4 ranks share them, 3 and 8 do not.
static_assert(sample_tree(1, 12, 1).leaves == 4 && sample_tree(1, 6, 2).leaves == 2);
static_assert(sample_tree(1, 3, 4).leaves == 1);
static_assert(sample_tree(1, 4, 3).leaves == 0 && sample_tree(8, 4, 2).leaves == 0);

// Eight samples: 0 waits, 1 joins it; 2 waits above, 3 joins it and then both; and so on.
constexpr SampleTree eight = sample_tree(1, 8, 1);
constexpr bool follows() {
  constexpr int enters[] = {0, 1, 1, 2, 1, 2, 2, 3}, completes[] = {0, 1, 0, 2, 0, 1, 0, 3};
  for (int i = 0; i < 8; ++i)
    if (eight.accumulator(i) != enters[i] || eight.completes(i) != completes[i] || !eight.opens(i))
      return false;
  return true;
}
static_assert(eight.leaves == 8 && eight.accumulators() == 4 && follows());

// Leaves of two: a sample in the middle of a leaf is added where the one before went.
constexpr SampleTree pairs = sample_tree(2, 8, 1);
static_assert(pairs.accumulators() == 3);
static_assert(pairs.opens(2) && !pairs.opens(3) && pairs.accumulator(3) == 1);
static_assert(pairs.completes(2) == 0 && pairs.completes(3) == 1 && pairs.completes(7) == 2);

int main() {}
