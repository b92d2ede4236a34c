#include <tessera/kernels/dropout.hpp>

#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

std::vector<std::uint32_t> const keys{1, 2, 0x80000000u, 0xffffffffu, 5, 0};
constexpr std::uint64_t stream = 0x123456789abcdef0u;

template <class T>
std::vector<T> dropped(std::vector<T> const& x, Shape shape, double probability,
                       std::vector<std::uint32_t> const& of = keys, std::uint64_t in = stream) {
  std::vector<T> y(x.size());
  CpuTeam{}.run(kernel::Dropout<T>{.y = view(y, shape),
                                   .x = view(x, shape),
                                   .keys = view(of, shape_of(of.size() / 2, 2)),
                                   .stream = in,
                                   .probability = probability});
  return y;
}

/// Word e of a sequence's row, taken one at a time.
std::uint32_t word(std::size_t sequence, std::int64_t e, std::uint64_t in = stream) {
  RandomKey key;
  key.seed = keys[2 * sequence] + (std::uint64_t(keys[2 * sequence + 1]) << 32);
  key.stream = in;
  return words(key, e / 4).at[e % 4];
}

}  // namespace

TEST_CASE_TEMPLATE("dropout meets a plain loop over words, in place or not", T, float, double) {
  for (std::int64_t const n : {1, 3, 4, 7, 129, 4096, 4099, 9000}) {
    CAPTURE(n);
    Shape const shape = shape_of(3, n);
    auto const x = values<T>(shape.count(), 1);
    double const probability = 0.3;
    std::vector<T> y;
    CHECK(same_on_threads([&] { return y = dropped(x, shape, probability); }));
    std::vector<double> expected;
    for (std::int64_t i = 0; i < shape.count(); ++i)
      expected.push_back(double(word(std::size_t(i / n), i % n)) * 0x1p-32 < probability
                             ? 0
                             : double(x[std::size_t(i)]) / (1 - probability));
    CHECK(distance(y, expected) <= tolerance<T>(2e-7));  // a factor and a product, rounded
    std::vector<T> in = x;
    CpuTeam{}.run(kernel::Dropout<T>{.y = view(in, shape),
                                     .x = view(in, shape),
                                     .keys = view(keys, shape_of(3, 2)),
                                     .stream = stream,
                                     .probability = probability});
    CHECK(in == y);
  }
}

TEST_CASE("a sequence's mask is its own: the shape of the rest and the neighbours do not matter") {
  std::int64_t const n = 5000;
  auto const x = values<float>(3 * n, 2);
  std::vector<float> const all = dropped(x, shape_of(3, n), 0.5);
  CHECK(all == dropped(x, shape_of(3, n / 10, 10), 0.5));
  for (std::size_t s = 0; s < 3; ++s) {
    auto const part = [&](std::vector<float> const& v) {
      auto const from = v.begin() + std::ptrdiff_t(s) * n;
      return std::vector<float>(from, from + n);
    };
    CHECK(part(all) == dropped(part(x), shape_of(1, n), 0.5, {keys[2 * s], keys[2 * s + 1]}));
  }
}

TEST_CASE("as many are dropped as it says, and sequences and streams are independent") {
  std::int64_t const n = 1 << 20;
  std::vector<float> const ones(std::size_t(2 * n), 1.0f);
  auto const drops = [](std::vector<float> const& v, std::int64_t from, std::int64_t to) {
    return std::count(v.begin() + from, v.begin() + to, 0.0f);
  };
  for (double const p : {0.01, 0.1, 0.5, 0.9}) {
    CAPTURE(p);
    auto const one = dropped(ones, shape_of(2, n), p, {1, 2, 1, 3});
    auto const other = dropped(ones, shape_of(2, n), p, {1, 2, 1, 3}, stream + 1);
    // Six standard deviations: one run in 5e8 would fail for a good generator, and none does twice.
    double const deviation = std::sqrt(double(n) * p * (1 - p));
    CHECK(std::abs(double(drops(one, 0, n)) - double(n) * p) < 6 * deviation);
    double const both = p * p, of_both = std::sqrt(double(n) * both * (1 - both));
    std::int64_t sequences = 0, streams = 0;
    double sum = 0;
    for (std::size_t i = 0; i < std::size_t(n); ++i) {
      sequences += one[i] == 0 && one[i + std::size_t(n)] == 0;
      streams += one[i] == 0 && other[i] == 0;
      sum += double(one[i]);
    }
    CHECK(std::abs(double(sequences) - double(n) * both) < 6 * of_both);
    CHECK(std::abs(double(streams) - double(n) * both) < 6 * of_both);
    CHECK(std::abs(sum / double(n) - 1) < 6 * deviation / double(n) / (1 - p));  // the mean stays
  }
}

TEST_CASE("a low, a high key and the other half of either draw other masks") {
  std::vector<float> const ones(1000, 1.0f);
  auto const of = [&](std::uint32_t low, std::uint32_t high) {
    return dropped(ones, shape_of(1, 1000), 0.5, {low, high});
  };
  CHECK(of(1, 0) != of(0, 1));
  CHECK(of(1, 0) != of(1, 1));
  CHECK(of(1, 0) != of(2, 0));
}

TEST_CASE("16-bit values are scaled in float and rounded once; masks are those of float") {
  Shape const shape = shape_of(3, 100);
  auto const wide = values<float>(shape.count(), 3);
  std::vector<bf16> x;
  for (float v : wide) x.push_back(bf16(v));
  std::vector<bf16> const y = dropped(x, shape, 0.4);
  std::vector<float> const f = dropped(std::vector<float>(x.begin(), x.end()), shape, 0.4);
  for (std::size_t i = 0; i < y.size(); ++i) CHECK(y[i].bits == bf16(f[i]).bits);
}
