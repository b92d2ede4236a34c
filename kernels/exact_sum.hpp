/// Exact sums of doubles in memory: however terms are dealt out, the same bits in the end.
#pragma once

#include <tessera/core/exact_sum.hpp>
#include <tessera/core/team.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// sums[k, c] (+)= column c of the k-th of `parts` about equal parts of x.
///
/// Shapes  x [n, width] · sums [parts, width]; a row of the kernel is one of them
/// Moves   8 bytes per term, 560 per sum
struct SumExactly {
  static constexpr std::int64_t most_parts = 1024;  // each the work of one thread
  static constexpr std::int64_t least_terms = 32;   // for a sum to be worth its bytes

  ExactSum* sums;
  double const* x;
  std::int64_t n, parts, width = 1;
  bool accumulate = false;

  /// Of n rows of x, with room for so many.
  static constexpr std::int64_t parts_of(std::int64_t n, std::int64_t room) {
    std::int64_t const most = room < most_parts ? room : most_parts;
    std::int64_t const worth = (n + least_terms - 1) / least_terms;
    return worth < most ? worth : most;
  }

  TESSERA_BOTH std::int64_t rows() const { return parts * width; }
  TESSERA_BOTH static constexpr std::int64_t cols() { return 1; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    std::int64_t const each = (n + parts - 1) / parts, first = r / width * each;
    std::int64_t const last = first + each < n ? first + each : n;
    lane.once([&] {
      ExactSum sum;
      if (accumulate) sum = sums[r];
      for (std::int64_t i = first; i < last; ++i) sum.add(x[i * width + r % width]);
      sum.carry();
      sums[r] = sum;
    });
  }
};

/// total[c] (+)= sums[0, c] + sums[1, c] + ..., digit by digit: it carries when it is read.
///
/// Shapes  total [width] · sums [parts, width] as SumExactly leaves them; a row of the kernel is a
///         digit of a total, or what is not finite in it
/// Moves   560 bytes per sum
struct AddSums {
  ExactSum* total;
  ExactSum const* sums;
  std::int64_t parts, width = 1;
  bool accumulate = false;

  TESSERA_BOTH std::int64_t rows() const { return width * (ExactSum::digits + 1); }
  TESSERA_BOTH std::int64_t cols() const { return parts; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    int const digit = int(r / width);
    ExactSum* const to = total + r % width;
    ExactSum const* const from = sums + r % width;
    std::int64_t const step = width;
    bool const add = accumulate;
    if (digit < ExactSum::digits) {
      std::int64_t const sum =
          lane.sum(parts, [=](std::int64_t k) { return from[k * step].digit(digit); });
      lane.once([=] { to->digit(digit) = add ? to->digit(digit) + sum : sum; });
    } else {
      double const sum = lane.sum(parts, [=](std::int64_t k) { return from[k * step].special(); });
      lane.once([=] { to->special() = add ? to->special() + sum : sum; });
    }
  }
};

/// rounded[c] = total[c], to the nearest double
///
/// Shapes  rounded, total [n]; a row of the kernel is one of them
struct RoundSums {
  double* rounded;
  ExactSum const* total;
  std::int64_t n;

  TESSERA_BOTH std::int64_t rows() const { return n; }
  TESSERA_BOTH static constexpr std::int64_t cols() { return 1; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    lane.once([&] { rounded[r] = total[r].value(); });
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
