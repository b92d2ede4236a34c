// nvcc
#include <tessera/core/direction.hpp>

#include <doctest/doctest.h>

#include <cmath>

using namespace tessera;

// The first angle is 2^-33 of a turn: as floats, its cosine and sine are those of 0.
static_assert(float(direction(0).cosine) == 0x1p30f && direction(0).sine == 0);
static_assert(float(direction(1u << 30).sine) == 0x1p30f && direction(1u << 30).cosine == 0);
static_assert(float(direction(1u << 31).cosine) == -0x1p30f && direction(1u << 31).sine == 0);

// The next coefficient of the series, (pi / 2)^11 / 11!, over 2^9 for the interpolation: 7e-9. Five
// products and a shift cut off 2^-32 to 2^-30 each.
TEST_CASE("cosine and sine err by less than 1.2e-8, all around") {
  double const pi = std::acos(-1.0);
  double worst = 0;
  for (std::uint64_t n = 0; n < std::uint64_t(1) << 32; n += 1237) {
    Direction const found = direction(std::uint32_t(n));
    double const angle = (double(n) + 0.5) * 0x1p-32 * 2 * pi;
    worst = std::fmax(worst, std::abs(found.cosine * 0x1p-30 - std::cos(angle)));
    worst = std::fmax(worst, std::abs(found.sine * 0x1p-30 - std::sin(angle)));
  }
  CHECK(worst < 1.2e-8);
}
