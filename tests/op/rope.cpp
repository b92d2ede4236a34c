#include <tessera/layer/rope.hpp>

#include <doctest/doctest.h>

#include "alone.hpp"

#include <cmath>

namespace {

using namespace tessera;

// The packing of heads and width is undone, at its limits too.
static_assert(RotatedHeads::of(RotatedHeads{40, 128}.packed()).count == 40);
static_assert(RotatedHeads::of(RotatedHeads{40, 128}.packed()).width == 128);
static_assert(RotatedHeads::of(RotatedHeads{0x7fff, 2048}.packed()).columns() == 0x7fff * 2048);

/// Two sequences of three tokens; heads of two columns would rotate by t, by t / theta^(2 / 4) in
/// the second pair of heads of four.
constexpr Shape shape = shape_of(2, 3, 13);

std::vector<Real> ones_and_twos() {
  std::vector<Real> x;
  for (int i = 0; i < shape.count(); ++i) x.push_back(Real(i % 13 % 2 + 1));
  return x;
}

TEST_CASE("the layer rotates its first heads at its positions with its base, and nothing else") {
  std::vector<Real> const x = ones_and_twos();
  Rope<3, 4> const split{.theta = 100};
  Rope<3, 4, RopeLayout::interleaved> const interleaved{.theta = 100};
  std::vector<Real> const ys = test::alone(split, shape, x),
                          yi = test::alone(interleaved, shape, x);
  for (int r = 0; r < 6; ++r)
    for (int c = 0; c < 13; ++c) {
      CAPTURE(r);
      CAPTURE(c);
      std::size_t const at = std::size_t(r * 13 + c);
      if (c == 12) {
        CHECK(ys[at] == x[at]);
        CHECK(yi[at] == x[at]);
        continue;
      }
      // Base 100 and heads of 4 columns: pair 0 rotates by t, pair 1 by t / 10.
      int const t = r % 3, k = c % 4;
      auto const expected = [&](int pair, double first, double second, bool is_first) {
        double const angle = pair == 0 ? t : t / 10.0;
        return is_first ? first * std::cos(angle) - second * std::sin(angle)
                        : first * std::sin(angle) + second * std::cos(angle);
      };
      // Columns are 1 2 1 2: half-split pairs are (1, 1) and (2, 2), interleaved ones (1, 2).
      double const v = k % 2 + 1;
      CHECK(std::abs(ys[at] - expected(k % 2, v, v, k < 2)) < 1e-6);
      CHECK(std::abs(yi[at] - expected(k / 2, 1, 2, k % 2 == 0)) < 1e-6);
    }
}

TEST_CASE("without a base of its own, it is 10000") {
  std::vector<Real> const x = ones_and_twos();
  CHECK(test::alone(Rope<3, 4>{}, shape, x) == test::alone(Rope<3, 4>{.theta = 1e4}, shape, x));
}

}  // namespace
