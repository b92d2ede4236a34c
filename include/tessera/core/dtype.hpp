/// How values are stored; the 16-bit types, which kernels load, compute with in float, and store.
/// Conversions are bit arithmetic without branches, so that loops over them become vector code on
/// every machine; rounding is to the nearest, ties to even.
#pragma once

#include <tessera/core/bytes.hpp>
#include <tessera/core/math.hpp>

#include <cstdint>

namespace tessera::inline TESSERA_SETTING {

namespace detail {

TESSERA_BOTH constexpr std::uint32_t pick(bool choose, std::uint32_t a, std::uint32_t b) {
  std::uint32_t const mask = -std::uint32_t(choose);
  return (a & mask) | (b & ~mask);
}

}  // namespace detail

/// The upper half of a float: 8 bits of exponent, 7 of fraction.
struct bf16 {
  std::uint16_t bits;

  bf16() = default;
  TESSERA_BOTH explicit constexpr bf16(float x) : bits(round(x)) {}
  TESSERA_BOTH explicit constexpr bf16(double x) : bf16(float(x)) {}
  TESSERA_BOTH constexpr operator float() const {
    return detail::number(std::uint32_t(bits) << 16);
  }

 private:
  TESSERA_BOTH static constexpr std::uint16_t round(float x) {
    std::uint32_t const u = detail::bits(x);
    std::uint32_t const nearest = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
    bool const nan = (u & 0x7fffffffu) > 0x7f800000u;
    return std::uint16_t(detail::pick(nan, u >> 16 | 0x40u, nearest));
  }
};

/// IEEE binary16: 5 bits of exponent, 10 of fraction; 65504 is the largest, 2^-24 the least.
struct fp16 {
  std::uint16_t bits;

  fp16() = default;
  TESSERA_BOTH explicit constexpr fp16(float x) : bits(round(x)) {}
  TESSERA_BOTH explicit constexpr fp16(double x) : fp16(float(x)) {}
  TESSERA_BOTH constexpr operator float() const {
    std::uint32_t const u = bits;
    // The exponent moves by 112; subnormal numbers become normal in the product. All ones stay all
    // ones: another 112.
    std::uint32_t const shifted = (u & 0x7fffu) << 13;
    float const finite = detail::number(shifted) * 0x1p112f;
    bool const special = shifted >= 0x0f800000u;
    std::uint32_t const value = detail::pick(special, shifted | 0x7f800000u, detail::bits(finite));
    return detail::number(value | (u & 0x8000u) << 16);
  }

 private:
  TESSERA_BOTH static constexpr std::uint16_t round(float x) {
    std::uint32_t const u = detail::bits(x), sign = u >> 16 & 0x8000u, size = u & 0x7fffffffu;
    // Normal results: round the fraction to 10 bits, move the exponent by 112.
    std::uint32_t const normal = (size + 0xfffu + (size >> 13 & 1u) - 0x38000000u) >> 13;
    // Subnormal ones: adding 0.5 leaves their bits, rounded, at the end of its fraction.
    std::uint32_t const small = detail::bits(detail::number(size) + 0.5f) - 0x3f000000u;
    std::uint32_t const nan = 0x7e00u, infinite = 0x7c00u;
    std::uint32_t r = detail::pick(size < 0x38800000u, small, normal);
    r = detail::pick(size >= 0x477ff000u, infinite, r);
    r = detail::pick(size > 0x7f800000u, nan, r);
    return std::uint16_t(sign | r);
  }
};

static_assert(sizeof(bf16) == 2 && sizeof(fp16) == 2);

/// How a value is stored. `real` is what arithmetic runs in; 16-bit types are loaded and stored.
enum class DType : std::uint8_t { real, bf16, fp16, int32 };

constexpr Bytes size_of(DType t) {
  return t == DType::real ? Bytes(sizeof(Real)) : t == DType::int32 ? 4 : 2;
}

/// Bytes beside a weight that make it the exact one which the optimizer steps: what a bf16 leaves
/// out of a float, or the float that an fp16 is rounded from.
constexpr Bytes master_of(DType low) {
  return low == DType::bf16 ? 2 : low == DType::fp16 ? 4 : 0;
}

/// The type as the compiler knows it.
template <class T>
inline constexpr DType dtype_of = DType::real;
template <>
inline constexpr DType dtype_of<bf16> = DType::bf16;
template <>
inline constexpr DType dtype_of<fp16> = DType::fp16;

/// The types that weights and activations may be stored in, as DType numbers them: an op's kernels
/// exist for each. In double, for tests, nothing else is.
inline constexpr int stores = sizeof(Real) == 4 ? 3 : 1;

}  // namespace tessera::inline TESSERA_SETTING
