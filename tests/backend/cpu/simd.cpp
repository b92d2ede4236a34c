#include <tessera/backend/cpu/tile.hpp>

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
  int const rows = 21, padded = 32, height = 32;
  auto const from = values<float>(rows * padded, 2);
  std::vector<float> to(std::size_t(padded * height), 9);
  simd::copy_transposed(from.data(), rows, padded, height, 2, to.data());
  for (int c = 0; c < padded; ++c)
    for (int r = 0; r < height; ++r)
      CHECK(to[std::size_t(c * height + r)] ==
            (r < rows ? 2 * from[std::size_t(r * padded + c)] : 0));
}

TEST_CASE_TEMPLATE("rows become floats with zeros behind them, and are stored again", T, float,
                   bf16, fp16) {
  int const rows = 5, stride = 40, padded = 32;
  for (int const cols : {8, 16, 24, 32}) {
    std::vector<T> from, to(std::size_t(rows * stride), T(9.f));
    for (float const x : values<float>(rows * stride, 3)) from.push_back(T(x));
    std::vector<float> floats(std::size_t(rows * padded), 7);
    auto const as_rows = [&](std::vector<T>& v) {
      return simd::Rows{reinterpret_cast<std::byte*>(v.data()), stride, dtype_of<T>};
    };
    simd::copy_rows(as_rows(from), rows, cols, padded, floats.data());
    float const factors[rows]{1, 2, 0.5f, 4, 1};
    simd::write_rows(floats.data(), factors, rows, cols, padded, as_rows(to));
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < stride; ++c) {
        std::size_t const at = std::size_t(r * stride + c);
        if (c < padded)
          CHECK(floats[std::size_t(r * padded + c)] == (c < cols ? float(from[at]) : 0));
        CHECK(float(to[at]) == (c < cols ? float(T(factors[r] * float(from[at]))) : 9));
      }
  }
}

TEST_CASE("bf16 is rounded like core/dtype.hpp rounds it, and NaN stays one") {
  std::vector<float> x = values<float>(simd::lanes, 4);
  x[0] = 1.00390625f, x[1] = 1.01171875f, x[2] = NAN, x[3] = -INFINITY;  // two ties
  std::vector<bf16> found(x.size());
  simd::store_bf16(found.data(), simd::load(x.data()));
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(found[i].bits == bf16(x[i]).bits);
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
