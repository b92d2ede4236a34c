#include <tessera/kernels/rounding.hpp>

#include <tessera/kernels/adagrad.hpp>
#include <tessera/kernels/adam.hpp>
#include <tessera/kernels/lion.hpp>
#include <tessera/kernels/sgd.hpp>

#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr RandomKey key = RandomKey(7, "blocks.0.mlp.up.weight").at(3);

/// Of the element's word, as kernels/rounding.hpp lays words over elements: written out anew.
std::uint32_t number(RandomKey k, std::int64_t element, int which) {
  std::int64_t const in_block = element % 64;
  std::uint32_t const word =
      words(k, 16 * (element / 64) + in_block % 16).at[std::size_t(in_block / 16)];
  std::uint32_t const low = word % 65536, high = word / 65536;
  return which == 0 ? low : which == 1 ? high : low ^ high;
}

/// Weights and two states, in bf16 or as exact floats of the same values.
template <class T>
struct State {
  std::vector<T> w, m, v;

  State(std::vector<float> const& a, std::vector<float> const& b, std::vector<float> const& c)
      : w(stored(a)), m(stored(b)), v(stored(c)) {
    for (T& x : v) x = T(std::abs(float(x)));
  }
  static std::vector<T> stored(std::vector<float> const& from) {
    std::vector<T> to(from.size());
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = T(float(bf16(from[i])));
    return to;
  }
  bool operator==(State const& other) const {
    auto const same = [](auto const& a, auto const& b) {
      return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0;
    };
    return same(w, other.w) && same(m, other.m) && same(v, other.v);
  }
};

/// step<Rule>(weights, m, v, gradients, n): one step of each optimizer.
enum class Rule { adam, adamw, sgd, adagrad, lion };

template <class Weights>
void step(Rule rule, Weights w, kernel::StateOf<float, Weights> m,
          kernel::StateOf<float, Weights> v, float const* g, std::int64_t n) {
  double const lr = 3e-3, decay = 0.1, clip = 0.5;
  auto const adam = [&]<bool Decoupled>(std::bool_constant<Decoupled>) {
    CpuTeam{}.run(kernel::Adam<float, Weights, Decoupled>{.w = w,
                                                          .m = m,
                                                          .v = v,
                                                          .g = g,
                                                          .n = n,
                                                          .lr = lr,
                                                          .beta1 = 0.9,
                                                          .beta2 = 0.999,
                                                          .eps = 1e-8,
                                                          .decay = decay,
                                                          .correction1 = 2,
                                                          .correction2 = 300,
                                                          .gradient_scale = clip});
  };
  switch (rule) {
    case Rule::adam: return adam(std::false_type{});
    case Rule::adamw: return adam(std::true_type{});
    case Rule::sgd:
      return CpuTeam{}.run(kernel::Sgd<float, Weights>{.w = w,
                                                       .b = m,
                                                       .g = g,
                                                       .n = n,
                                                       .lr = lr,
                                                       .momentum = 0.9,
                                                       .decay = decay,
                                                       .gradient_scale = clip});
    case Rule::adagrad:
      return CpuTeam{}.run(kernel::Adagrad<float, Weights>{.w = w,
                                                           .s = v,
                                                           .g = g,
                                                           .n = n,
                                                           .lr = lr,
                                                           .eps = 1e-10,
                                                           .decay = decay,
                                                           .gradient_scale = clip});
    case Rule::lion:
      return CpuTeam{}.run(kernel::Lion<float, Weights>{.w = w,
                                                        .m = m,
                                                        .g = g,
                                                        .n = n,
                                                        .lr = lr,
                                                        .beta1 = 0.9,
                                                        .beta2 = 0.99,
                                                        .decay = decay,
                                                        .gradient_scale = clip});
  }
}
constexpr Rule rules[] = {Rule::adam, Rule::adamw, Rule::sgd, Rule::adagrad, Rule::lion};

/// Elements [begin, end) of the parameter.
void step(Rule rule, State<bf16>& s, std::vector<float> const& g, RandomKey k, std::int64_t begin,
          std::int64_t end) {
  step(rule, kernel::Rounded{s.w.data() + begin, {k, begin}}, {s.m.data() + begin},
       {s.v.data() + begin}, g.data() + begin, end - begin);
}

template <class T>
State<T> start(std::int64_t n) {
  return {values<float>(n, 1), values<float>(n, 2), values<float>(n, 3)};
}

/// 5 standard deviations of the mean of n independent numbers: one in 1.7 million goes beyond.
double bound(double deviation, double n) {
  return 5 * deviation / std::sqrt(n);
}

}  // namespace

TEST_CASE("over all numbers that can be drawn the mean is exact, and only neighbours come out") {
  for (float const sign : {1.0f, -1.0f})
    for (float const x : {1.0f, 1.00390625f, 1.001f, 3.14159274f, 0.02f, 1.9999999f, 1e-30f, 3e38f,
                          0x1p-130f, 0x1.234568p-140f, 0x1p-149f, 0.0f}) {
      CAPTURE(x);
      float const exact = sign * x;
      double sum = 0, least = INFINITY, most = -INFINITY;
      for (std::uint32_t r = 0; r < 65536; ++r) {
        double const y = float(kernel::round_stochastically(exact, r));
        sum += y, least = std::min(least, y), most = std::max(most, y);
      }
      CHECK(sum == 65536 * double(exact));  // sums of 24 bits and less: exact in double
      CHECK((least <= exact && exact <= most));
      std::uint16_t const below = kernel::round_stochastically(exact, 0).bits;
      std::uint16_t const above = kernel::round_stochastically(exact, 65535).bits;
      CHECK(above - below == (float(bf16(exact)) != exact));
    }
  for (std::uint32_t const r : {0u, 1u, 65535u}) {
    CHECK(float(kernel::round_stochastically(INFINITY, r)) == INFINITY);
    CHECK(float(kernel::round_stochastically(-INFINITY, r)) == -INFINITY);
    for (float const nan : {0 * INFINITY, float(bf16(NAN)), -float(bf16(NAN))})
      CHECK(std::isnan(float(kernel::round_stochastically(nan, r))));
  }
}

TEST_CASE("the numbers of an element are even, and each two of them independent") {
  int const n = 1 << 18, bins = 16;
  for (auto const& [a, b] : {std::pair{0, 1}, {0, 2}, {1, 2}}) {
    // The lowest bits of one beside the highest of the other, and the highest beside the highest.
    for (bool const lowest : {false, true}) {
      std::vector<int> count(bins * bins);
      for (int i = 0; i < n; ++i) {
        kernel::Draw const d = kernel::Noise{key, 0}.at(i);
        std::uint32_t const x = lowest ? d.of(a) % bins : d.of(a) / 4096, y = d.of(b) / 4096;
        ++count[std::size_t(x * bins + y)];
      }
      double chi = 0, expected = double(n) / (bins * bins);
      for (int const c : count) chi += (c - expected) * (c - expected) / expected;
      CHECK(std::abs(chi - 255) < 5 * std::sqrt(2.0 * 255));  // 255 degrees of freedom
    }
  }
}

TEST_CASE(
    "a step in bf16 is the one in float, rounded with the numbers of seed, path, step and "
    "element") {
  for (Rule const rule : rules)
    for (std::int64_t const n : {1, 7, 63, 64, 65, 768, 4096, 4096 + 129, 9000}) {
      CAPTURE(int(rule));
      CAPTURE(n);
      State<float> exact = start<float>(n);
      State<bf16> found = start<bf16>(n), expected = found;
      auto const g = values<float>(n, 4);
      State<float> const before = exact;
      step(rule, kernel::Plain<float>(exact.w.data()), exact.m.data(), exact.v.data(), g.data(), n);
      step(rule, found, g, key, 0, n);
      auto const rounded = [&](std::vector<float> const& from, int which) {
        std::vector<bf16> to(from.size());
        for (std::size_t i = 0; i < to.size(); ++i)
          to[i].bits = std::uint16_t(
              (__builtin_bit_cast(std::uint32_t, from[i]) + number(key, std::int64_t(i), which)) >>
              16);
        return to;
      };
      expected.w = rounded(exact.w, 0);
      // What an optimizer has one of is its first state.
      if (exact.m != before.m) expected.m = rounded(exact.m, 1);
      if (exact.v != before.v) expected.v = rounded(exact.v, rule == Rule::adagrad ? 1 : 2);
      CHECK(found == expected);
    }
}

TEST_CASE("the same bits from any start, in any parts, on one thread and on two") {
  std::int64_t const n = 3 * 4096 + 5;
  auto const g = values<float>(n, 4);
  for (Rule const rule : rules) {
    CAPTURE(int(rule));
    auto const run = [&](std::vector<std::int64_t> const& cuts) {
      State<bf16> s = start<bf16>(n);
      for (std::size_t k = 0; k + 1 < cuts.size(); ++k) step(rule, s, g, key, cuts[k], cuts[k + 1]);
      return s;
    };
    State<bf16> const whole = run({0, n});
    CHECK(run({0, 256, 4096, 8192, n}) == whole);
    CHECK(run({0, 1, 7, 100, 4096 + 63, 4096 + 64, 9001, n - 1, n}) == whole);
    CHECK(same_on_threads([&] { return run({0, n}).w; }));
    // Other keys, other bits.
    for (RandomKey const other : {RandomKey(8, "blocks.0.mlp.up.weight").at(3),
                                  RandomKey(7, "blocks.0.mlp.up.weight").at(4),
                                  RandomKey(7, "blocks.1.mlp.up.weight").at(3)}) {
      State<bf16> s = start<bf16>(n);
      step(rule, s, g, other, 0, n);
      CHECK(!(s == whole));
    }
  }
}

TEST_CASE("steps of a quarter of half a unit in the last place arrive; the nearest stays") {
  std::int64_t const n = 4096;
  int const steps = 64;
  float const down = 0x1p-11f;  // 1 - 2^-8 is the bf16 below 1
  std::vector<bf16> w(std::size_t(n), bf16(1.0f)), b(std::size_t(n), bf16(0.0f)), nearest = w;
  std::vector<float> const g(std::size_t(n), 1.0f);
  std::vector<float> buffer(std::size_t(n), 0.0f);
  auto const sgd = [&]<class Weights>(Weights weights, kernel::StateOf<float, Weights> state) {
    CpuTeam{}.run(kernel::Sgd<float, Weights>{
        .w = weights, .b = state, .g = g.data(), .n = n, .lr = down, .momentum = 0, .decay = 0});
  };
  for (int t = 1; t <= steps; ++t) {
    RandomKey const now = RandomKey(1, "w").at(std::uint64_t(t));
    sgd(kernel::Rounded{w.data(), {now, 0}}, {b.data()});
    sgd(kernel::Plain<bf16>(nearest.data()), kernel::Plain<float>(buffer.data()));
    double mean = 0;
    for (bf16 const x : w) mean += double(float(x)) / double(n);
    // A step goes 2^-8 or nowhere: a deviation of 2^-9 at most.
    CHECK(std::abs(mean - (1 - t * double(down))) <= bound(0x1p-9 * std::sqrt(t), double(n)));
  }
  for (bf16 const x : nearest) CHECK(float(x) == 1.0f);
}

TEST_CASE("the second moment follows a decay of a thousandth; the nearest stalls below a half") {
  std::int64_t const n = 4096;
  int const steps = 1000;
  std::vector<bf16> const zeros(std::size_t(n), bf16(0.0f));
  std::vector<bf16> w = zeros, m = zeros, v = zeros, w2 = zeros, m2 = zeros, v2 = zeros;
  std::vector<float> const g(std::size_t(n), 1.0f);
  std::vector<bf16> const g2(std::size_t(n), bf16(1.0f));
  for (int t = 1; t <= steps; ++t) {
    auto const adam = [&]<class T, class Weights>(Weights weights, kernel::StateOf<T, Weights> mean,
                                                  kernel::StateOf<T, Weights> square,
                                                  std::vector<T> const& gradient) {
      CpuTeam{}.run(kernel::AdamW<T, Weights>{.w = weights,
                                              .m = mean,
                                              .v = square,
                                              .g = gradient.data(),
                                              .n = n,
                                              .lr = 1e-3,
                                              .beta1 = 0.9,
                                              .beta2 = 0.999,
                                              .eps = 1e-8,
                                              .decay = 0,
                                              .correction1 = 1 / (1 - std::pow(0.9, t)),
                                              .correction2 = 1 / (1 - std::pow(0.999, t))});
    };
    RandomKey const now = RandomKey(1, "w").at(std::uint64_t(t));
    adam(kernel::Rounded{w.data(), {now, 0}}, kernel::Rounded{m.data()}, kernel::Rounded{v.data()},
         g);
    adam(kernel::Plain<bf16>(w2.data()), kernel::Plain<bf16>(m2.data()),
         kernel::Plain<bf16>(v2.data()), g2);
  }
  double mean = 0;
  for (bf16 const x : v) mean += double(float(x)) / double(n);
  // Below 1 neighbours are 2^-8 apart at most, so each of the roundings deviates by 2^-9 at most.
  double const exact = 1 - std::pow(0.999, steps);
  CHECK(std::abs(mean - exact) <= bound(0x1p-9 * std::sqrt(steps), double(n)));
  // From 1/2 on they are 2^-8 apart, from 1/4 on 2^-9: (1 - v) / 1000 rounds to nothing there.
  for (bf16 const x : v2) CHECK(float(x) < 0.5f);
}
