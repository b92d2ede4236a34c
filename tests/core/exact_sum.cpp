#include <tessera/core/exact_sum.hpp>

#include <tessera/core/random.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using namespace tessera;

namespace {

double sum_of(std::vector<double> const& terms) {
  ExactSum sum;
  for (double const x : terms) sum.add(x);
  return sum.value();
}

constexpr double of_three(double a, double b, double c) {
  ExactSum sum;
  sum.add(a), sum.add(b), sum.add(c);
  return sum.value();
}
static_assert(of_three(1e300, 1, -1e300) == 1);
static_assert(of_three(1, 0x1p-53, 0x1p-106) == 1 + 0x1p-52);  // just above half an ulp: up
static_assert(of_three(1, 0x1p-53, 0) == 1);                   // half an ulp: to even
static_assert(of_three(1, 0x1p-53, -0x1p-106) == 1);           // just below: down

/// Terms of every size and sign, with what they add up to: each is there with its negative but one.
std::vector<double> scattered(int n, double rest) {
  std::vector<double> x{rest};
  RandomKey const key(3, "scattered");
  for (int i = 0; i < n; ++i) {
    double const v =
        std::ldexp(uniform(key, 2 * i) - 0.5, int(uniform(key, 2 * i + 1) * 2000) - 1000);
    x.push_back(v), x.push_back(-v);
  }
  return x;
}

}  // namespace

TEST_CASE("a sum is exact: what cancels leaves the rest, in every order") {
  for (double const rest : {0.0, 1.0, -3e-9, 0x1p-1074, 0x1p-1022 - 0x1p-1074, -1.7e308}) {
    std::vector<double> x = scattered(500, rest);
    CHECK(sum_of(x) == rest);
    std::sort(x.begin(), x.end());
    CHECK(sum_of(x) == rest);
    std::reverse(x.begin(), x.end());
    CHECK(sum_of(x) == rest);
  }
}

TEST_CASE("it is rounded once, to the nearest double") {
  // Integers up to 2^62 in steps that doubles do not have: long double has 64 bits for the truth.
  static_assert(std::numeric_limits<long double>::digits >= 64);
  RandomKey const key(4, "rounded");
  for (int i = 0; i < 10'000; ++i) {
    auto const high = std::int64_t(uniform(key, 2 * i) * 0x1p61),
               low = std::int64_t(uniform(key, 2 * i + 1) * 0x1p40);
    auto const a = double(high / 1024 * 1024), b = double(low);
    CHECK(sum_of({a, b}) == double(static_cast<long double>(a) + static_cast<long double>(b)));
    CHECK(sum_of({-a, -b}) == -sum_of({a, b}));
  }
}

TEST_CASE("sums of parts are the sum, whoever adds which") {
  std::vector<double> const x = scattered(300, 0.1);
  for (std::size_t const parts : {1u, 2u, 7u}) {
    std::vector<ExactSum> sums(parts);
    for (std::size_t i = 0; i < x.size(); ++i) sums[i * i % parts].add(x[i]);
    ExactSum all;
    for (ExactSum const& s : sums) all.add(s);
    CHECK(all.value() == 0.1);
  }
}

TEST_CASE("infinities and NaNs come out; a sum beyond every double is infinite") {
  double const inf = std::numeric_limits<double>::infinity();
  CHECK(sum_of({1, inf, 2}) == inf);
  CHECK(sum_of({-inf, 2}) == -inf);
  CHECK(std::isnan(sum_of({inf, 1, -inf})));
  CHECK(std::isnan(sum_of({std::nan(""), 1})));
  CHECK(sum_of({1.7e308, 1.7e308}) == inf);
  CHECK(sum_of({1.7e308, 1.7e308, -1.7e308}) == 1.7e308);
  CHECK(sum_of({}) == 0);
}
