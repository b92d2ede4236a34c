#include <tessera/backend/cuda/pack.hpp>

#include <tessera/core/dtype.hpp>

#include "../../kernels/check.hpp"

#include <type_traits>

using namespace tessera;
using namespace tessera::test;

static_assert(cuda::pack_width<float> == 4 && cuda::pack_width<double> == 2);
static_assert(cuda::pack_width<float, bf16> == 8 && cuda::pack_width<double const, float> == 4);

TEST_CASE("arrays hold packs if all of them begin at 16 bytes") {
  alignas(16) float x[8]{};
  alignas(16) bf16 y[16]{};
  CHECK(cuda::hold_packs(x));
  CHECK(cuda::hold_packs(x, y));
  CHECK(cuda::hold_packs(x + 4, y + 8));
  CHECK_FALSE(cuda::hold_packs(x + 2));
  CHECK_FALSE(cuda::hold_packs(x, y + 4));
  CHECK_FALSE(cuda::hold_packs(x + 1, y));
}

TEST_CASE("a pack's elements meet f one by one, with their number, and only they change") {
  alignas(16) float x[24], y[24];
  alignas(16) bf16 z[24];
  for (int i = 0; i < 24; ++i) x[i] = float(i), y[i] = float(100 + i), z[i] = bf16(float(2 * i));
  std::vector<std::int64_t> seen;
  cuda::Packs<8, float, float const, bf16> packs(x, y, z);
  packs.each(
      [&](std::int64_t i, float& xi, float const& yi, bf16& zi) {
        seen.push_back(i);
        xi += yi;
        zi = bf16(float(zi) + 1);
      },
      8);
  CHECK(seen == std::vector<std::int64_t>{8, 9, 10, 11, 12, 13, 14, 15});
  for (int i = 0; i < 24; ++i) {
    bool const inside = i >= 8 && i < 16;
    CHECK(x[i] == float(inside ? 100 + 2 * i : i));
    CHECK(y[i] == float(100 + i));
    CHECK(float(z[i]) == float(inside ? 2 * i + 1 : 2 * i));
  }
}

TEST_CASE("the array that is written may be one that is read") {
  alignas(16) float x[4]{1, 2, 3, 4};
  float const* const same = x;
  cuda::Packs<4, float, float const> packs(x, same);
  packs.each([](std::int64_t, float& to, float const& from) { to = 3 * from; }, 0);
  for (int i = 0; i < 4; ++i) CHECK(x[i] == float(3 * (i + 1)));
}
