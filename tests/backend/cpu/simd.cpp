// nvcc
#include <tessera/backend/cpu/tile.hpp>

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "../../kernels/check.hpp"

#include <limits>

using namespace tessera;
using namespace tessera::test;

TEST_CASE("exp2 is within 1e-7, exactly 0 far down, and NaN stays") {
  for (double x = -125.9; x < 127.9; x += 0.00731) {
    double const at = double(float(x));
    CHECK(std::abs(double(simd::exp2(simd::splat(float(x)))[0]) / std::exp2(at) - 1) < 1e-7);
  }
  for (float const x :
       {-127.0f, -127.5f, -1000.0f, -3e38f, -std::numeric_limits<float>::infinity()})
    CHECK(simd::exp2(simd::splat(x))[0] == 0.0f);
  CHECK(simd::exp2(simd::splat(0))[0] == 1.0f);
  CHECK(std::isnan(simd::exp2(simd::splat(std::numeric_limits<float>::quiet_NaN()))[0]));
}

TEST_CASE("a part of a vector reads and writes nothing else") {
  for (int n = 0; n <= simd::lanes; ++n) {
    auto const from = values<float>(n, 1);
    simd::Vec const x = simd::load(from.data(), n);
    std::vector<float> to(std::size_t(simd::lanes), 9);
    simd::store(to.data(), simd::splat(1) + x, n);
    for (int i = 0; i < simd::lanes; ++i) {
      CHECK(x[i] == (i < n ? from[std::size_t(i)] : 0));
      CHECK(to[std::size_t(i)] == (i < n ? 1 + from[std::size_t(i)] : 9));
    }
  }
}

TEST_CASE("transposed rows are columns, scaled, with zeros around them") {
  int const rows = 21, cols = 24, padded = 32, height = 32;
  auto const from = values<float>(rows * 40, 2);
  std::vector<float> to(std::size_t(padded * height), 9);
  simd::copy_transposed(from.data(), 40, rows, cols, padded, height, 2, to.data());
  for (int c = 0; c < padded; ++c)
    for (int r = 0; r < height; ++r)
      CHECK(to[std::size_t(c * height + r)] ==
            (r < rows && c < cols ? 2 * from[std::size_t(r * 40 + c)] : 0));
}

TEST_CASE("blocks cover a tile's rows once, and read little beyond") {
  for (int rows = 1; rows <= 64; ++rows) {
    int next = 0;
    simd::each_block(rows, [&](int row, auto count) {
      CHECK(row == next);
      next += count;
    });
    CHECK(next >= rows);
    CHECK(next == simd::covered(rows));
    CHECK(next <= 64);
  }
}
