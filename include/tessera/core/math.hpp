/// Scalar functions of kernels. They hold no branch and touch no errno, so a compiler turns the
/// loop around them into vector code without -ffast-math.
#pragma once

#include <tessera/core/setting.hpp>

#include <cmath>
#include <cstdint>

namespace tessera::inline TESSERA_SETTING {

namespace detail {

template <class T>
struct WideOf {
  using type = float;
};
template <>
struct WideOf<double> {
  using type = double;
};

TESSERA_BOTH constexpr std::uint32_t bits(float x) {
  return __builtin_bit_cast(std::uint32_t, x);
}
TESSERA_BOTH constexpr float number(std::uint32_t bits) {
  return __builtin_bit_cast(float, bits);
}

/// choose ? a : b. By masks: a conditional between constants becomes a jump that stops the
/// vectoriser.
TESSERA_BOTH constexpr float pick(bool choose, float a, float b) {
  std::uint32_t const mask = -std::uint32_t(choose);
  return number((bits(a) & mask) | (bits(b) & ~mask));
}

}  // namespace detail

/// What a kernel computes in when it stores T.
template <class T>
using Wide = typename detail::WideOf<T>::type;

/// e^x with relative error below 1e-7. 0 below -87 (no subnormal results), inf above 88.73, NaN
/// stays.
TESSERA_BOTH constexpr float exp_fast(float x) {
  x = detail::pick(x < -87.2f, -87.2f, x);
  x = detail::pick(x > 89.0f, 89.0f, x);
  float const shifted =
      x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: the integer is in the low bits
  float const k = shifted - 12582912.0f;
  float const r = (x - k * 0.693359375f) - k * -2.12194440e-4f;  // |r| <= log(2) / 2
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  // 2 e^r * 2^(k - 1): the factor is exactly 0 at k = -126 and still finite at k = 128.
  return (p + p) * detail::number((detail::bits(shifted) << 23) + (126u << 23));
}
TESSERA_BOTH inline double exp_fast(double x) {
  return std::exp(x);
}

/// Square root of x >= 0 within 0.8 units in the last place (x not subnormal). std::sqrt may set
/// errno, which keeps it scalar; this is an estimate, two Newton steps and a correction.
TESSERA_BOTH constexpr float sqrt_fast(float x) {
  float y = detail::number(0x5f375a86u - (detail::bits(x) >> 1));  // about 1 / sqrt(x)
  float const half = 0.5f * x;
  y = y * (1.5f - half * y * y);
  y = y * (1.5f - half * y * y);
  float const root = x * y;
  return root + 0.5f * y * (x - root * root);
}
TESSERA_BOTH inline double sqrt_fast(double x) {
  return std::sqrt(x);
}

}  // namespace tessera::inline TESSERA_SETTING
