/// Exact sums of doubles in memory: any number of rows leaves the same bits in the end.
#pragma once

#include <tessera/core/exact_sum.hpp>
#include <tessera/core/team.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// sums[r] = the sum of the r-th of `count` about equal parts of x.
///
/// Shapes  x [n] · sums [count]
struct SumExactly {
  ExactSum* sums;
  double const* x;
  std::int64_t n, count;

  TESSERA_BOTH std::int64_t rows() const { return count; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    std::int64_t const each = (n + count - 1) / count, first = r * each;
    std::int64_t const last = first + each < n ? first + each : n;
    lane.once([&] {
      ExactSum sum;
      for (std::int64_t i = first; i < last; ++i) sum.add(x[i]);
      sums[r] = sum;
    });
  }
};

/// total += sums[0] + sums[1] + ...
struct AddSums {
  ExactSum *total, *sums;
  std::int64_t count;

  TESSERA_BOTH std::int64_t rows() const { return 1; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t) const {
    lane.once([&] {
      for (std::int64_t k = 0; k < count; ++k) total->add(sums[k]);
    });
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
