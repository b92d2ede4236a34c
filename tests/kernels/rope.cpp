#include <tessera/kernels/rope.hpp>

#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

template <class T>
std::vector<double> reference(std::vector<T> const& x, Shape shape, int heads, int width,
                              double theta, RopeLayout layout, double sign = 1) {
  std::vector<double> y(x.begin(), x.end());
  for (std::int64_t r = 0; r < shape.rows(); ++r)
    for (int h = 0; h < heads; ++h)
      for (int j = 0; j < width / 2; ++j) {
        bool const split = layout == RopeLayout::half_split;
        std::size_t const head = std::size_t(r * shape.cols() + h * width);
        std::size_t const first = head + std::size_t(split ? j : 2 * j);
        std::size_t const second = head + std::size_t(split ? j + width / 2 : 2 * j + 1);
        double const angle = sign * double(r % shape[1]) * std::pow(theta, -2.0 * j / width);
        double const a = double(x[first]), b = double(x[second]);
        y[first] = a * std::cos(angle) - b * std::sin(angle);
        y[second] = a * std::sin(angle) + b * std::cos(angle);
      }
  return y;
}

template <RopeLayout Layout, class T>
void rotate(std::vector<T>& y, std::vector<T> const& x, Shape shape, int heads, int width,
            double theta, bool back = false) {
  CpuTeam{}.run(kernel::Rope<T, Layout>{.y = view(y, shape),
                                        .x = view(x, shape),
                                        .heads = heads,
                                        .width = width,
                                        .speeds = kernel::RopeSpeeds::of(theta, width),
                                        .back = back});
}

/// Cosine and sine err by 1.2e-8 and half a unit, 3e-8; two products of at most 2 and their sum of
/// at most 2.9, rounded, by 2 * 6e-8 * 2 and 1.2e-7. In double, an angle of 1000 has 2^-43.
template <class T>
constexpr double bound = std::is_same_v<T, double> ? 3e-12 : 6e-7;

template <RopeLayout Layout, class T>
void meets_plain_loops() {
  struct Case {
    int heads, width, rest;
    std::int64_t sequences, tokens;
    double theta;
  };
  // One pair; queries and keys of grouped heads beside values; every tail of a vector; a long text.
  for (Case const& c : {Case{1, 2, 0, 1, 5, 1e4}, Case{6, 16, 32, 2, 7, 1e4},
                        Case{3, 22, 5, 2, 9, 5e5}, Case{2, 128, 7, 1, 1000, 1e4}}) {
    CAPTURE(c.width);
    Shape const shape = shape_of(c.sequences, c.tokens, c.heads * c.width + c.rest);
    auto const x = values<T>(shape.count(), 1);
    std::vector<T> y(x.size());
    CHECK(same_on_threads([&] {
      rotate<Layout>(y, x, shape, c.heads, c.width, c.theta);
      return y;
    }));
    CHECK(distance(y, reference(x, shape, c.heads, c.width, c.theta, Layout)) <= bound<T>);
    for (std::int64_t k = 0; k < shape.cols(); ++k)
      CHECK(y[std::size_t(k)] == x[std::size_t(k)]);  // position 0

    std::vector<T> in = x;
    rotate<Layout>(in, in, shape, c.heads, c.width, c.theta);
    CHECK(in == y);
    rotate<Layout>(y, x, shape, c.heads, c.width, c.theta, true);
    CHECK(distance(y, reference(x, shape, c.heads, c.width, c.theta, Layout, -1)) <= bound<T>);
    rotate<Layout>(in, in, shape, c.heads, c.width, c.theta, true);
    CHECK(distance(in, {x.begin(), x.end()}) <= 2 * bound<T>);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("rotations meet plain loops, in place or not, there and back", T, float,
                   double) {
  meets_plain_loops<RopeLayout::half_split, T>();
  meets_plain_loops<RopeLayout::interleaved, T>();
}

TEST_CASE("far positions are as exact as near ones") {
  int const width = 64;
  std::int64_t const tokens = 200'000;
  Shape const shape = shape_of(1, tokens, width);
  auto const x = values<float>(shape.count(), 2);
  std::vector<float> y(x.size());
  rotate<RopeLayout::half_split>(y, x, shape, 1, width, 1e4);
  CHECK(distance(y, reference(x, shape, 1, width, 1e4, RopeLayout::half_split)) <= bound<float>);
}

TEST_CASE("the product of a rotated query and key depends on their distance only") {
  int const width = 32;
  std::int64_t const tokens = 40;
  auto const one = values<double>(width, 3), other = values<double>(width, 4);
  std::vector<double> queries, keys;
  for (std::int64_t t = 0; t < tokens; ++t) {
    queries.insert(queries.end(), one.begin(), one.end());
    keys.insert(keys.end(), other.begin(), other.end());
  }
  Shape const shape = shape_of(1, tokens, width);
  rotate<RopeLayout::interleaved>(queries, queries, shape, 1, width, 100.0);
  rotate<RopeLayout::interleaved>(keys, keys, shape, 1, width, 100.0);
  auto const product = [&](std::int64_t t, std::int64_t s) {
    double sum = 0;
    for (int c = 0; c < width; ++c)
      sum += queries[std::size_t(t * width + c)] * keys[std::size_t(s * width + c)];
    return sum;
  };
  CHECK(std::abs(product(7, 3) - product(36, 32)) < 1e-12);
  CHECK(std::abs(product(7, 3) - product(7, 4)) > 1e-3);
}

TEST_CASE("16-bit values rotate in float and are rounded once") {
  int const width = 16;
  Shape const shape = shape_of(2, 5, 3 * width);
  auto const wide = values<float>(shape.count(), 5);
  std::vector<bf16> x(wide.size()), y(wide.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = bf16(wide[i]);
  rotate<RopeLayout::half_split>(y, x, shape, 2, width, 1e4);
  // Half of the distance of two neighbours, which is 2^-7 of y at most.
  CHECK(distance(y, reference(x, shape, 2, width, 1e4, RopeLayout::half_split)) <=
        0x1p-8 + bound<float>);
}
