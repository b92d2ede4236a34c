#include <tessera/core/permutation.hpp>

#include <doctest/doctest.h>

#include <set>
#include <vector>

using namespace tessera;

namespace {

constexpr bool bijective(std::int64_t n, std::uint64_t seed, std::uint64_t epoch) {
  std::vector<bool> seen(static_cast<std::size_t>(n));
  Permutation const p(n, seed, epoch);
  for (std::int64_t i = 0; i < n; ++i) {
    std::int64_t const j = p(i);
    if (j < 0 || j >= n || seen[std::size_t(j)]) return false;
    seen[std::size_t(j)] = true;
  }
  return true;
}

static_assert(Permutation(1, 3, 4)(0) == 0);

}  // namespace

TEST_CASE("every size is permuted without loss or repetition") {
  for (std::int64_t n = 1; n <= 70; ++n) CHECK(bijective(n, 1, std::uint64_t(n)));
  for (std::int64_t const n : {255, 256, 257, 4095, 4096, 4097, 1 << 16, 100003}) {
    CHECK(bijective(n, 0, 0));
    CHECK(bijective(n, 42, 17));
  }
}

TEST_CASE("huge sizes stay inside and do not collide") {
  for (std::int64_t const n : {(std::int64_t(1) << 47) + 12345, std::int64_t(1) << 48}) {
    Permutation const p(n, 5, 6);
    std::set<std::int64_t> seen;
    bool high = false;
    for (std::int64_t i = 0; i < 20000; ++i) {
      std::int64_t const j = p(i);
      REQUIRE((j >= 0 && j < n));
      high |= j > n / 2;
      seen.insert(j);
    }
    CHECK(seen.size() == 20000);
    CHECK(high);
  }
}

TEST_CASE("seed and epoch give different orders, the same pair the same order") {
  Permutation const a(1000, 1, 0), b(1000, 1, 1), c(1000, 2, 0), again(1000, 1, 0);
  int ab = 0, ac = 0;
  for (int i = 0; i < 1000; ++i) {
    ab += a(i) == b(i);
    ac += a(i) == c(i);
    CHECK(a(i) == again(i));
  }
  CHECK(ab < 10);
  CHECK(ac < 10);
}

TEST_CASE("over many epochs every item takes every place equally often") {
  for (int const n : {2, 3, 5, 10, 37}) {
    int const epochs = 2000 * n;
    std::vector<int> count(std::size_t(n) * std::size_t(n));
    for (int e = 0; e < epochs; ++e) {
      Permutation const p(n, 9, std::uint64_t(e));
      for (int i = 0; i < n; ++i) ++count[std::size_t(i * n + p(i))];
    }
    double chi = 0;
    double const expected = double(epochs) / n;
    for (int const c : count) chi += (c - expected) * (c - expected) / expected;
    double const freedom = double(n - 1) * (n - 1);
    CAPTURE(n);
    CHECK(chi < freedom + 4.5 * std::sqrt(2 * freedom) + 6);
  }
}

TEST_CASE("neighbours move apart") {
  Permutation const p(100000, 11, 0);
  double steps = 0;
  int close = 0;
  for (int i = 0; i + 1 < 100000; ++i) {
    double const d = std::abs(double(p(i + 1) - p(i)));
    steps += d;
    close += d <= 1;
  }
  CHECK(steps / 99999 == doctest::Approx(100000 / 3.0).epsilon(0.02));
  CHECK(close < 15);
}
