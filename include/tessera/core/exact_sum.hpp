/// A sum of doubles without rounding: no order and no grouping of its terms changes a bit.
#pragma once

#include <tessera/core/setting.hpp>

#include <cstdint>

namespace tessera::inline TESSERA_SETTING {

/// A fixed-point number that covers every finite double, in digits of 32 bits (U. Kulisch's long
/// accumulator; R. Neal, "Fast exact summation using small and large superaccumulators", 2015).
/// Plain data of 8-byte words: ranks exchange it as it is, and sums of sums are sums.
class ExactSum {
 public:
  static constexpr int digits = 68;

  TESSERA_BOTH constexpr void add(double x) {
    auto const bits = __builtin_bit_cast(std::uint64_t, x);
    int const exponent = int(bits >> 52 & 0x7ff);
    if (exponent == 0x7ff) {
      special_ += x;
      return;
    }
    std::uint64_t const fraction = bits & 0xf'ffff'ffff'ffff;
    std::uint64_t const mantissa = exponent > 0 ? fraction | std::uint64_t(1) << 52 : fraction;
    // x = mantissa 2^(p - 1088)
    int const p = (exponent > 0 ? exponent : 1) + 13;
    int const at = p / 32, shift = p % 32;
    std::uint64_t const low = (mantissa & digit_mask) << shift, high = mantissa >> 32 << shift;
    std::int64_t const sign = bits >> 63 ? -1 : 1;
    digit(at) += sign * std::int64_t(low & digit_mask);
    digit(at + 1) += sign * std::int64_t((low >> 32) + (high & digit_mask));
    digit(at + 2) += sign * std::int64_t(high >> 32);
    if (++pending_ == most_pending) carry();
  }

  TESSERA_BOTH constexpr void add(ExactSum const& other) {
    ExactSum more = other;
    more.carry();
    carry();
    for (int i = 0; i < digits; ++i) digit(i) += more.digit(i);
    special_ += more.special_;
    carry();
  }

  /// The sum, rounded once to the nearest double. Infinities and NaNs add as doubles do.
  TESSERA_BOTH constexpr double value() const {
    if (special_ != 0) return special_;  // a NaN is not equal to 0
    ExactSum sum = *this;
    sum.carry();
    bool const negative = sum.digit(digits - 1) < 0;
    if (negative) {
      for (std::int64_t& d : sum.digit_) d = -d;
      sum.carry();
    }
    int top = digits - 1;
    while (top >= 0 && sum.digit(top) == 0) --top;
    if (top < 0) return 0;
    // The 64 leading bits; what is below them only matters to rounding, as one bit.
    std::uint64_t lead = std::uint64_t(sum.digit(top));
    int shift = 0;
    for (; lead >> 63 == 0; ++shift) lead <<= 1;
    std::uint64_t const next = sum.below(top - 1) << 32 | sum.below(top - 2);
    lead |= next >> (64 - shift);
    bool rest = (next << shift) != 0;
    for (int i = top - 3; i >= 0 && !rest; --i) rest = sum.digit(i) != 0;
    double const magnitude = scaled(double(lead | std::uint64_t(rest)), 32 * top - shift - 1088);
    return negative ? -magnitude : magnitude;
  }

  /// Of carried sums, those that add each digit, and what is not finite, have the sum's once they
  /// carry: side by side, as many sums as there may be.
  TESSERA_BOTH constexpr std::int64_t& digit(int i) { return digit_[i]; }
  TESSERA_BOTH constexpr std::int64_t digit(int i) const { return digit_[i]; }
  TESSERA_BOTH constexpr double& special() { return special_; }
  TESSERA_BOTH constexpr double special() const { return special_; }

  /// Every digit but the highest, which has the sign, between 0 and 2^32.
  TESSERA_BOTH constexpr void carry() {
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
    for (int i = 0; i + 1 < digits; ++i) {
      std::int64_t const over = digit(i) >> 32;
      digit(i) -= over * (std::int64_t(1) << 32);
      digit(i + 1) += over;
    }
    pending_ = 0;
  }

 private:
  static constexpr std::uint64_t digit_mask = 0xffff'ffff;
  static constexpr std::int64_t most_pending = std::int64_t(1) << 29;

  TESSERA_BOTH constexpr std::uint64_t below(int i) const {
    return i < 0 ? 0 : std::uint64_t(digit(i));
  }

  /// x 2^exponent. Halves are exact until the last one, which may leave the normal numbers.
  TESSERA_BOTH static constexpr double scaled(double x, int exponent) {
    for (; exponent > 0; --exponent) x *= 2;
    for (; exponent < -64; exponent += 64) x *= 0x1p-64;
    for (; exponent < 0; ++exponent) x /= 2;
    return x;
  }

  std::int64_t digit_[digits]{};  // number i counts 2^(32 i - 1088); device code indexes it
  std::int64_t pending_ = 0;      // terms since the last carry
  double special_ = 0;
};

}  // namespace tessera::inline TESSERA_SETTING
