// nvcc
#include <tessera/core/math.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

using namespace tessera;

static_assert(exp_fast(0.0f) == 1.0f);
static_assert(sqrt_fast(4.0f) == 2.0f && sqrt_fast(0.0f) == 0.0f);

TEST_CASE("exp_fast errs by less than 1e-7 wherever its result is a normal number") {
  double worst = 0;
  for (int i = -8690000; i <= 8872000; i += 3) {
    float const x = float(i) * 1e-5f;
    worst = std::max(worst, std::abs(double(exp_fast(x)) / std::exp(double(x)) - 1));
  }
  CHECK(worst <= 1e-7);
}

TEST_CASE("exp_fast is 0 far below, infinite far above, and keeps NaN") {
  float const infinity = std::numeric_limits<float>::infinity();
  for (float const x : {-87.0f, -88.0f, -104.0f, -1e9f, -3e38f, -infinity}) CHECK(exp_fast(x) == 0);
  for (float const x : {88.73f, 89.0f, 1e9f, 3e38f, infinity}) CHECK(exp_fast(x) == infinity);
  CHECK(std::isfinite(exp_fast(88.72f)));
  CHECK(std::isnan(exp_fast(std::numeric_limits<float>::quiet_NaN())));
  CHECK(exp_fast(1.5) == std::exp(1.5));
}

TEST_CASE("sqrt_fast errs by less than 1e-7 over all normal numbers") {
  double worst = 0;
  for (std::uint32_t bits = 0x00800000; bits < 0x7f800000; bits += 997) {
    float const x = detail::number(bits);
    worst = std::max(worst, std::abs(double(sqrt_fast(x)) / std::sqrt(double(x)) - 1));
  }
  CHECK(worst <= 1e-7);
  CHECK(sqrt_fast(2.0) == std::sqrt(2.0));
}
