#include <tessera/core/random.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

using namespace tessera;

// The known answers that come with Random123 for philox4x32, 10 rounds.
static_assert(philox({{0, 0, 0, 0}}, 0, 0) ==
              Words{{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
static_assert(philox({{~0u, ~0u, ~0u, ~0u}}, ~0u, ~0u) ==
              Words{{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
static_assert(philox({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0) ==
              Words{{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});

static_assert(stream_of("blocks.0.mlp.up.weight") != stream_of("blocks.1.mlp.up.weight"));
static_assert(RandomKey(1, "a").at(0) != RandomKey(1, "a") &&
              RandomKey(1, "a").at(0) != RandomKey(1, "a").at(1));

namespace {

constexpr RandomKey key(7, "blocks.0.attention.query.weight");

struct Moments {
  double mean, variance, skew, kurtosis;
};
template <class F>
Moments moments(int n, F&& f) {
  double sum = 0, m2 = 0, m3 = 0, m4 = 0;
  for (int i = 0; i < n; ++i) sum += f(i);
  double const mean = sum / n;
  for (int i = 0; i < n; ++i) {
    double const d = f(i) - mean;
    m2 += d * d;
    m3 += d * d * d;
    m4 += d * d * d * d;
  }
  m2 /= n;
  return {mean, m2, m3 / n / std::pow(m2, 1.5), m4 / n / (m2 * m2)};
}

struct Pair {
  float first, second;
};
Pair transform(std::uint32_t a, std::uint32_t b) {
  float first[1], second[1];
  detail::normal_pairs({a}, {b}, first, second);
  return {first[0], second[0]};
}

}  // namespace

TEST_CASE("uniform numbers lie in [0, 1), evenly") {
  int const n = 1 << 20, bins = 64;
  std::vector<int> count(bins);
  for (int i = 0; i < n; ++i) {
    float const u = uniform(key, i);
    REQUIRE((u >= 0 && u < 1));
    ++count[std::size_t(u * bins)];
  }
  double chi = 0, expected = double(n) / bins;
  for (int const c : count) chi += (c - expected) * (c - expected) / expected;
  CHECK(chi < 110);  // 63 degrees of freedom: one in five thousand exceeds it
}

TEST_CASE("normal numbers have the moments and the tails of a normal distribution") {
  int const n = 1 << 20;
  Moments const m = moments(n, [](int i) { return double(normal(key, i)); });
  double const error = 1 / std::sqrt(double(n));
  CHECK(std::abs(m.mean) < 4 * error);
  CHECK(std::abs(m.variance - 1) < 4 * std::sqrt(2) * error);
  CHECK(std::abs(m.skew) < 4 * std::sqrt(6) * error);
  CHECK(std::abs(m.kurtosis - 3) < 4 * std::sqrt(24) * error);
  for (double const z : {0.5, 1.0, 2.0, 3.0, 4.0}) {
    int out = 0;
    for (int i = 0; i < n; ++i) out += std::abs(normal(key, i)) > z;
    double const share = std::erfc(z / std::sqrt(2)), spread = std::sqrt(share * (1 - share) / n);
    CHECK(std::abs(double(out) / n - share) < 4 * spread);
  }
}

TEST_CASE("neighbours, streams, seeds and steps are uncorrelated") {
  int const n = 1 << 18;
  auto const correlation = [&](auto&& f, auto&& g) {
    double sum = 0;
    for (int i = 0; i < n; ++i) sum += double(f(i)) * double(g(i));
    return std::abs(sum / n) * std::sqrt(double(n));
  };
  auto const base = [](int i) { return normal(key, i); };
  for (int lag = 1; lag <= 8; ++lag)
    CHECK(correlation(base, [lag](int i) { return normal(key, i + lag); }) < 4.5);
  RandomKey const seed(8, "blocks.0.attention.query.weight"),
      path(7, "blocks.0.attention.key.weight");
  CHECK(correlation(base, [&](int i) { return normal(seed, i); }) < 4.5);
  CHECK(correlation(base, [&](int i) { return normal(path, i); }) < 4.5);
  CHECK(correlation(base, [&](int i) { return normal(key.at(1), i); }) < 4.5);
}

TEST_CASE("normal numbers are Box and Muller's transform to 1e-6") {
  double worst = 0;
  auto const compare = [&](std::uint32_t a, std::uint32_t b) {
    double const r = std::sqrt(-2 * std::log((double(a) + 1) / 0x1p32));
    double const angle = 2 * std::numbers::pi * ((double(b) + 0.5) / 0x1p32);
    auto const [first, second] = transform(a, b);
    worst = std::max({worst, std::abs(double(first) - r * std::cos(angle)),
                      std::abs(double(second) - r * std::sin(angle))});
  };
  for (int i = 0; i < 200000; ++i) {
    Words const w = words(key, i);
    compare(w.at[0], w.at[1]);
    compare(w.at[2] >> (i % 32), w.at[3]);
  }
  for (std::uint32_t const b : {0u, 1u << 30, 2u << 30, 3u << 30, ~0u, (1u << 30) - 1})
    for (int k = 0; k < 32; ++k)
      for (std::uint32_t const a : {(1u << k) - 1, 1u << k, (1u << k) + 1}) compare(a, b);
  MESSAGE("largest distance " << worst);
  CHECK(worst < 1e-6);
  auto const far = transform(0, 0), near = transform(~0u, 12345);
  CHECK(far.first == doctest::Approx(6.6604).epsilon(1e-4));
  CHECK(std::abs(near.first) + std::abs(near.second) < 1e-4f);
}

TEST_CASE("the compiler, the program and a filled buffer draw the same bits") {
  constexpr int n = 64;
  constexpr auto compiled = [] {
    struct {
      float at[n];
    } r{};
    for (int i = 0; i < n; ++i) r.at[i] = normal(key, i - 5);
    return r;
  }();
  for (int i = 0; i < n; ++i) {
    float const now = normal(key, i - 5);
    CHECK(std::memcmp(&now, &compiled.at[i], sizeof now) == 0);
  }
  for (int first = 0; first < 5; ++first)
    for (int count = 0; count < 12; ++count) {
      std::vector<float> filled(std::size_t(count) + 1, -9.0f);
      fill_normal(key, first, count, 0.02f, filled.data());
      for (int i = 0; i < count; ++i)
        CHECK(filled[std::size_t(i)] == 0.02f * normal(key, first + i));
      CHECK(filled.back() == -9.0f);
    }
}

// These bits are the contract: checkpoints and papers quote seeds.
TEST_CASE("the first numbers of a row never change") {
  float const expected[4] = {0x1.64a638p-1f, -0x1.a8c1c2p-2f, 0x1.d41b5ep+0f, 0x1.f35b8ap-1f};
  for (int i = 0; i < 4; ++i) CHECK(normal(key, i) == expected[i]);
  CHECK(uniform(key, 0) == 0x1.7096c4p-1f);
}
