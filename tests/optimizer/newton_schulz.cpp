#include <tessera/optimizer/newton_schulz.hpp>

#include "../kernels/check.hpp"
#include "newton_schulz_reference.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

std::vector<Real> orthogonal(std::vector<Real> x, std::int64_t rows, std::int64_t cols,
                             double scale = 1) {
  NewtonSchulz<Cpu> const n(rows, cols);
  std::vector<std::byte> workspace(
      std::size_t(orthogonal_workspace({0, 0, rows, cols}, sizeof(Real)) + Cpu::gemm_workspace));
  n.run(nullptr, x.data(), scale, workspace.data());
  return x;
}

constexpr std::int64_t shapes[][2] = {{1, 1}, {8, 8}, {5, 17}, {17, 5}, {64, 48}, {48, 192}};

}  // namespace

TEST_CASE("wide, tall and square matrices follow the iteration in double") {
  for (auto const& shape : shapes) {
    std::int64_t const rows = shape[0], cols = shape[1];
    CAPTURE(rows);
    CAPTURE(cols);
    auto const x = values<Real>(rows * cols, 3);
    std::vector<double> const expected =
        newton_schulz(std::vector<double>(x.begin(), x.end()), rows, cols);
    // An iteration stretches what an earlier one has rounded by 3.45 at most, all together by
    // 1 + 3.45 + ... = 200; it rounds sums of products of rows whose norms are at most 1.2 three
    // times over, in sqrt(200) terms at worst: 200 * 3 * 2 * 2^-24.
    CHECK(distance(orthogonal(x, rows, cols), expected) <= 8e-5);
    std::vector<double> scaled = expected;
    for (double& v : scaled) v *= 3;
    CHECK(distance(orthogonal(x, rows, cols, 3), scaled) <= 3 * 8e-5);
  }
}

TEST_CASE("what comes out is nearly orthogonal, whatever the size of what goes in") {
  for (double const size : {1e-3, 1.0, 1e3}) {
    auto x = values<Real>(24 * 64, 5);
    for (Real& v : x) v *= Real(size);
    auto const y = orthogonal(x, 24, 64);
    for (int i = 0; i < 24; ++i)
      for (int j = 0; j < 24; ++j) {
        double dot = 0;
        for (int k = 0; k < 64; ++k)
          dot += double(y[std::size_t(64 * i + k)]) * double(y[std::size_t(64 * j + k)]);
        // Singular values are between 0.68 and 1.14, so their squares between 0.46 and 1.3.
        CHECK(dot <= (i == j ? 1.31 : 0.43));
        CHECK(dot >= (i == j ? 0.46 : -0.43));
      }
  }
}

TEST_CASE("a matrix of zeros stays one, and the same bits come again") {
  std::vector<Real> const zeros(6 * 9, Real(0));
  CHECK(orthogonal(zeros, 6, 9) == zeros);
  auto const x = values<Real>(48 * 192, 7);
  CHECK(orthogonal(x, 48, 192) == orthogonal(x, 48, 192));
}
