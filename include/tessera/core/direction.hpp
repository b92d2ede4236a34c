/// Cosine and sine of fractions of a turn, made with integers (fixed point: Qn is a number times
/// 2^n), because libraries differ in cos and compilers fuse a * b + c differently per machine:
/// integers give the same bits on every compiler, instruction set and device. All operands have 32
/// bits and all partial sums are positive, so that the loops vectorise without 64-bit
/// multiplications.
#pragma once

#include <tessera/core/setting.hpp>

#include <cstdint>

namespace tessera::inline TESSERA_SETTING {

namespace detail {

TESSERA_BOTH constexpr std::uint32_t high(std::uint32_t a, std::uint32_t b) {
  return std::uint32_t((std::uint64_t(a) * b) >> 32);
}

/// By Chebyshev interpolation on [0, 1): x is Q32.
TESSERA_BOTH constexpr std::int32_t quarter_sine(std::uint32_t x) {  // sin(x pi / 2), Q30
  std::uint32_t const square = high(x, x);
  std::uint32_t p = 344144u - high(square, 7370u);
  p = 10053784u - high(square, p);
  p = 171138564u - high(square, p);
  p = 1387197333u - high(square, p);
  p = 3373259426u - high(square, p);
  return std::int32_t(high(x, p) >> 1);
}

}  // namespace detail

struct Direction {
  std::int32_t cosine, sine;  // Q30
};

/// Of the angle (n + 1/2) / 2^32 of a turn, within 1.2e-8.
TESSERA_BOTH constexpr Direction direction(std::uint32_t n) {
  std::uint32_t const x = (n << 2) | 2;  // the angle inside its quadrant
  std::int32_t const s = detail::quarter_sine(x), c = detail::quarter_sine(0u - x);
  std::int32_t const odd = -std::int32_t((n >> 30) & 1), lower = -std::int32_t(n >> 31);
  std::int32_t const cosine = (s & odd) | (c & ~odd), sine = (c & odd) | (s & ~odd);
  std::int32_t const flip = odd ^ lower;  // -1: change the sign
  return {(cosine ^ flip) - flip, (sine ^ lower) - lower};
}

}  // namespace tessera::inline TESSERA_SETTING
