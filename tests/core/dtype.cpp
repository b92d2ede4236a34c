// nvcc
#include <tessera/core/dtype.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

using namespace tessera;

static_assert(float(bf16(1.0f)) == 1.0f && float(fp16(-2.5f)) == -2.5f);

namespace {

/// The value of a 16-bit pattern with `fraction` bits of fraction, from the definition.
double defined(std::uint16_t bits, int fraction) {
  int const width = 15 - fraction, bias = (1 << (width - 1)) - 1;
  int const exponent = bits >> fraction & ((1 << width) - 1), part = bits & ((1 << fraction) - 1);
  double const sign = bits >> 15 ? -1 : 1, share = part / std::ldexp(1, fraction);
  if (exponent == (1 << width) - 1)
    return part ? std::numeric_limits<double>::quiet_NaN()
                : sign * std::numeric_limits<double>::infinity();
  return sign *
         (exponent == 0 ? std::ldexp(share, 1 - bias) : std::ldexp(1 + share, exponent - bias));
}

template <class H>
H of_bits(unsigned bits) {
  H h;
  h.bits = std::uint16_t(bits);
  return h;
}

/// Every pattern, every point between two neighbours, and one float beside it on either side.
template <class H>
void check_all(int fraction) {
  int wrong = 0;
  auto const expect = [&](float x, unsigned bits) { wrong += H(x).bits != bits; };
  for (unsigned b = 0; b < 65536; ++b) {
    H const h = of_bits<H>(b);
    double const value = defined(h.bits, fraction);
    if (std::isnan(value)) {
      wrong += !std::isnan(float(h)) || !std::isnan(float(H(float(h))));
      continue;
    }
    wrong += double(float(h)) != value;
    expect(float(h), b);
    if (!std::isfinite(value)) continue;
    unsigned const next = b + 1;  // farther from zero
    double const after = defined(std::uint16_t(next), fraction);
    bool const last = std::isinf(after);
    double const step = value - defined(std::uint16_t(b & 0x7fff ? b - 1 : b), fraction);
    double const middle = last ? value + step / 2 : (value + after) / 2;
    float const tie = float(middle);
    REQUIRE(double(tie) == middle);
    expect(tie, b % 2 ? next : b);
    expect(std::nextafter(tie, 0.0f), b);
    expect(std::nextafter(tie, std::copysign(INFINITY, tie)), next);
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("bf16: all 65,536 patterns, and rounding to nearest, ties to even") {
  check_all<bf16>(7);
  CHECK(float(bf16(3.4e38f)) == INFINITY);
}

TEST_CASE("fp16: all 65,536 patterns, and rounding to nearest, ties to even") {
  check_all<fp16>(10);
  CHECK(float(fp16(65519.0f)) == 65504.0f);
  CHECK(float(fp16(65520.0f)) == INFINITY);
  CHECK(fp16(-1e-9f).bits == 0x8000u);
}
