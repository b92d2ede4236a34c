/// Vectors of floats as wide as the machine's registers, from the compilers' vector extensions:
/// g++, clang++ and nvcc's host pass take the same source, and there is one path for every width.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

// The namespace names the width: files compiled for different machines keep their own functions.
#if defined(__AVX512F__)
#define TESSERA_SIMD floats16
#define TESSERA_LANES(f)                                                                         \
  f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8), f(9), f(10), f(11), f(12), f(13), f(14), \
      f(15)
#elif defined(__AVX__)
#define TESSERA_SIMD floats8
#define TESSERA_LANES(f) f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7)
#else
#define TESSERA_SIMD floats4
#define TESSERA_LANES(f) f(0), f(1), f(2), f(3)
#endif

/// After a lambda's parameters: its vectors must stay in its caller's registers.
#define TESSERA_INLINED __attribute__((always_inline))

namespace tessera::simd::inline TESSERA_SIMD {

#if defined(__AVX512F__)
inline constexpr int lanes = 16;
#elif defined(__AVX__)
inline constexpr int lanes = 8;
#else
inline constexpr int lanes = 4;
#endif

typedef float Vec __attribute__((vector_size(4 * lanes)));
typedef std::uint32_t Bits __attribute__((vector_size(4 * lanes)));
typedef std::int32_t Ints __attribute__((vector_size(4 * lanes)));
typedef std::uint16_t Halves __attribute__((vector_size(2 * lanes)));

/// f(0), f(1), ... with constants, so that arrays of vectors stay in registers.
template <int N, class F>
[[gnu::always_inline]] inline void unrolled(F f) {
  [&]<int... I>(std::integer_sequence<int, I...>) TESSERA_INLINED {
    (f(std::integral_constant<int, I>{}), ...);
  }
  (std::make_integer_sequence<int, N>{});
}

[[gnu::always_inline]] inline Vec load(float const* from) {
  Vec x;
  std::memcpy(&x, from, sizeof x);
  return x;
}
[[gnu::always_inline]] inline void store(float* to, Vec x) {
  std::memcpy(to, &x, sizeof x);
}
[[gnu::noinline]] inline Vec load_some(float const* from, int n) {
  Vec x{};
  for (int i = 0; i < n; ++i) x[i] = from[i];
  return x;
}
[[gnu::noinline]] inline void store_some(float* to, Vec x, int n) {
  for (int i = 0; i < n; ++i) to[i] = x[i];
}
/// The first n floats; the rest is 0.
[[gnu::always_inline]] inline Vec load(float const* from, int n) {
  if (n >= lanes) [[likely]]
    return load(from);
  return load_some(from, n);
}
[[gnu::always_inline]] inline void store(float* to, Vec x, int n) {
  if (n >= lanes) [[likely]]
    return store(to, x);
  store_some(to, x, n);
}

/// Floats of the bits of bf16 values, and those bits, rounded to the nearest, ties to even.
[[gnu::always_inline]] inline Vec load_bf16(void const* from) {
  Halves x;
  std::memcpy(&x, from, sizeof x);
  return __builtin_bit_cast(Vec, __builtin_convertvector(x, Bits) << 16);
}
[[gnu::always_inline]] inline void store_bf16(void* to, Vec value) {
  Bits const u = __builtin_bit_cast(Bits, value);
  Bits const nearest = u + 0x7fffu + (u >> 16 & 1u), quiet = u | 0x400000u;
  Bits const nan = __builtin_bit_cast(Bits, (u & 0x7fffffffu) > 0x7f800000u);
  Halves const x = __builtin_convertvector(((nan & quiet) | (~nan & nearest)) >> 16, Halves);
  std::memcpy(to, &x, sizeof x);
}

[[gnu::always_inline]] inline Vec splat(float x) {
  return Vec{} + x;
}
/// Lanes of `yes` where keep >= 0, of `no` elsewhere. A function, as nvcc takes no vector condition
/// that depends on a template.
[[gnu::always_inline]] inline Vec pick(Ints keep, Vec yes, Vec no) {
  return keep >= 0 ? yes : no;
}
[[gnu::always_inline]] inline Vec larger(Vec a, Vec b) {
  return a > b ? a : b;
}
/// 0, 1, 2, ...
[[gnu::always_inline]] inline Ints iota() {
  Ints x{};
  unrolled<lanes>([&](auto i) { x[int(i)] = i; });
  return x;
}

/// 2^x with relative error below 1e-7 for x < 128; exactly 0 below -127; NaN stays NaN.
[[gnu::always_inline]] inline Vec exp2(Vec x) {
  x = x < splat(-127) ? splat(-127) : x;  // here 2^-127 comes out as 0: see the last line
  Vec const shifted = x + 12582912.0f;    // 1.5 * 2^23: the nearest integer is in the low bits
  Vec const r = x - (shifted - 12582912.0f);
  Vec p = splat(1.5353362e-4f);  // minimax on [-1/2, 1/2]
  p = p * r + 1.3398875e-3f;
  p = p * r + 9.6184369e-3f;
  p = p * r + 5.5503324e-2f;
  p = p * r + 2.4022648e-1f;
  p = p * r + 6.9314718e-1f;
  p = p * r + 1.0f;
  // Adds the integer to the exponent: 1.0f has exponent field 127, so 2^-127 has all bits 0.
  return __builtin_bit_cast(
      Vec, __builtin_bit_cast(Bits, p) + (__builtin_bit_cast(Bits, shifted) << 23));
}

inline float sum(Vec x) {
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) x[i] += x[i + half];
  return x[0];
}

namespace detail {
template <int Distance>
constexpr int from_low(int i) {
  return i & Distance ? lanes + i - Distance : i;
}
template <int Distance>
constexpr int from_high(int i) {
  return i & Distance ? lanes + i : i + Distance;
}
/// Swaps the off-diagonal blocks of Distance x Distance of two rows that lie Distance apart. The
/// indices are written out, as nvcc takes no pack of them.
template <int Distance>
[[gnu::always_inline]] inline void exchange(Vec& a, Vec& b) {
  Vec const low = __builtin_shufflevector(a, b, TESSERA_LANES(from_low<Distance>));
  b = __builtin_shufflevector(a, b, TESSERA_LANES(from_high<Distance>));
  a = low;
}
template <int Distance>
[[gnu::always_inline]] inline void exchange_all(Vec (&x)[lanes]) {
  unrolled<lanes>([&](auto row) TESSERA_INLINED {
    if constexpr ((row & Distance) == 0) exchange<Distance>(x[row], x[row + Distance]);
  });
  if constexpr (2 * Distance < lanes) exchange_all<2 * Distance>(x);
}
}  // namespace detail

/// Rows become columns.
[[gnu::always_inline]] inline void transpose(Vec (&x)[lanes]) {
  detail::exchange_all<1>(x);
}

}  // namespace tessera::simd::inline TESSERA_SIMD
