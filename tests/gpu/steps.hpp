/// Optimizers' steps beside their rules in double, on weights stored in every way; sums of flats.
#pragma once

#include <tessera/kernels/adagrad.hpp>
#include <tessera/kernels/adam.hpp>
#include <tessera/kernels/exact_sum.hpp>
#include <tessera/kernels/lamb.hpp>
#include <tessera/kernels/lion.hpp>
#include <tessera/kernels/muon.hpp>
#include <tessera/kernels/reduce.hpp>
#include <tessera/kernels/running.hpp>
#include <tessera/kernels/sgd.hpp>
#include <tessera/kernels/sum_parts.hpp>

#include "judge.hpp"

namespace tessera::test {

/// n numbers on the device as an optimizer sees them, by how they are stored.
template <class Weights>
struct Held;

template <>
struct Held<kernel::Plain<float>> {
  static constexpr char const* name = "fp32";
  Buffer<float> at;
  Held(Judge const& j, std::vector<float> const& x) : at(j.put(x)) {}
  kernel::Plain<float> weights() const { return {at.get()}; }
  std::vector<double> read() const { return wide(at.read()); }
};
template <>
struct Held<kernel::Split> {
  static constexpr char const* name = "bf16 and remainders";
  Buffer<bf16> high;
  Buffer<std::int16_t> low;
  Held(Judge const& j, std::vector<float> const& x)
      : high(j.put(of<bf16>(x, kernel::Split::high))),
        low(j.put(of<std::int16_t>(x, kernel::Split::low))) {}
  kernel::Split weights() const { return {high.get(), low.get()}; }
  std::vector<double> read() const {
    auto const h = high.read();
    auto const l = low.read();
    std::vector<double> x;
    for (std::size_t i = 0; i < h.size(); ++i) x.push_back(kernel::Split::join(h[i], l[i]));
    return x;
  }

 private:
  template <class T>
  static std::vector<T> of(std::vector<float> const& x, T (*half)(float)) {
    std::vector<T> v;
    for (float const xi : x) v.push_back(half(xi));
    return v;
  }
};
template <>
struct Held<kernel::Master> {
  static constexpr char const* name = "fp16 beside fp32";
  Buffer<fp16> low;
  Buffer<float> exact;
  Held(Judge const& j, std::vector<float> const& x)
      : low(j.put(std::vector<fp16>(x.begin(), x.end()))), exact(j.put(x)) {}
  kernel::Master weights() const { return {low.get(), exact.get()}; }
  /// Not a number where the fp16 is not the nearest.
  std::vector<double> read() const {
    auto const stored = low.read();
    auto x = exact.read();
    for (std::size_t i = 0; i < x.size(); ++i)
      if (stored[i].bits != fp16(x[i]).bits) x[i] = NAN;
    return wide(x);
  }
};
template <>
struct Held<kernel::Rounded> {
  static constexpr char const* name = "bf16 rounded at random";
  Buffer<bf16> at;
  Held(Judge const& j, std::vector<float> const& x)
      : at(j.put(std::vector<bf16>(x.begin(), x.end()))) {}
  kernel::Rounded weights() const { return {at.get(), {RandomKey(1, "weights"), 0}}; }
  std::vector<double> read() const { return wide(at.read()); }
};

/// What a rule makes of one element.
struct Stepped {
  double w, first, second = 0;
};

/// run(weights, states, gradient, n) on the device beside rule(w, first, second, g).
template <class Weights, class Run, class Rule>
void check_step(Judge& j, std::int64_t n, std::string const& what, Run const& run,
                Rule const& rule) {
  using State = kernel::StateOf<float, Weights>;
  constexpr bool rounded = std::is_same_v<Weights, kernel::Rounded>;
  auto second = values<float>(n, 3);
  for (float& x : second) x = std::abs(x);
  auto const g = values<float>(n, 4);
  Held<Weights> const w(j, values<float>(n, 1));
  Held<State> const a(j, values<float>(n, 2)), b(j, second);
  Buffer<float> const gradient(j.put(g));
  auto const w0 = w.read(), a0 = a.read(), b0 = b.read();
  run(w.weights(), a.weights(), b.weights(), gradient.get(), n);
  std::vector<double> w1, a1, b1;
  for (std::size_t i = 0; i < g.size(); ++i) {
    Stepped const to = rule(w0[i], a0[i], b0[i], double(g[i]));
    w1.push_back(to.w), a1.push_back(to.first), b1.push_back(to.second);
  }
  std::string const name = ", " + (Held<Weights>::name + (" of " + std::to_string(n)));
  // Rounded at random, a value is one of its two neighbours, a whole unit apart.
  double const bound = rounded ? 2 * unit<bf16> + roundings<float>(12) : roundings<float>(12);
  j.check(what + name, w.read(), w1, bound);
  j.check(what + "'s state" + name, a.read(), a1, bound);
  if (b1[0] != 0) j.check(what + "'s second state" + name, b.read(), b1, bound);
  if constexpr (rounded) {
    // and right on average: along the step, errors of about half its size cancel.
    auto const found = w.read();
    double along = 0, all = 0;
    for (std::size_t i = 0; i < w1.size(); ++i) {
      along += (found[i] - w1[i]) * (w1[i] < w0[i] ? -1 : 1);
      all += std::abs(w1[i] - w0[i]);
    }
    j.say(what + "'s mean" + name, std::abs(along) / all, 0.05);
  }
}

inline constexpr double rate = 1e-2, decay = 0.1, clip = 0.75, beta1 = 0.9, beta2 = 0.999;
inline constexpr double c1 = 1.5, c2 = 20;  // corrections, as of some third step

/// Weights and states of the optimizers that round at random, too.
template <class Weights>
void check_steps(Judge& j, std::int64_t n) {
  auto const adam = [&]<bool Decoupled>(char const* what) {
    check_step<Weights>(
        j, n, what,
        [&](auto w, auto m, auto v, float const* g, std::int64_t count) {
          j.run(kernel::Adam<float, Weights, Decoupled>{w, m, v, g, count, rate, beta1, beta2, 1e-3,
                                                        decay, c1, c2, clip});
        },
        [](double w, double m, double v, double g) {
          double const d = g * clip + (Decoupled ? 0 : decay * w);
          m = beta1 * m + (1 - beta1) * d, v = beta2 * v + (1 - beta2) * d * d;
          double const keep = Decoupled ? 1 - rate * decay : 1;
          return Stepped{w * keep - rate * c1 * m / (std::sqrt(v * c2) + 1e-3), m, v};
        });
  };
  adam.template operator()<false>("adam");
  adam.template operator()<true>("adamw");
  for (bool const nesterov : {false, true})
    check_step<Weights>(
        j, n, nesterov ? "sgd, nesterov" : "sgd",
        [&](auto w, auto b, auto, float const* g, std::int64_t count) {
          j.run(kernel::Sgd<float, Weights>{w, b, g, count, rate, beta1, decay, nesterov, clip});
        },
        [&](double w, double b, double, double g) {
          double const d = g * clip + decay * w;
          b = beta1 * b + d;
          return Stepped{w - rate * (nesterov ? d + beta1 * b : b), b};
        });
  check_step<Weights>(
      j, n, "adagrad",
      [&](auto w, auto, auto s, float const* g, std::int64_t count) {
        j.run(kernel::Adagrad<float, Weights>{w, s, g, count, rate, 1e-3, decay, clip});
      },
      [](double w, double first, double s, double g) {
        double const d = g * clip + decay * w;
        s += d * d;
        return Stepped{w - rate * d / (std::sqrt(s) + 1e-3), first, s};
      });
  check_step<Weights>(
      j, n, "lion",
      [&](auto w, auto m, auto, float const* g, std::int64_t count) {
        j.run(kernel::Lion<float, Weights>{w, m, g, count, rate, beta1, beta2, decay, clip});
      },
      [](double w, double m, double, double g) {
        double const d = beta1 * m + (1 - beta1) * g * clip;
        return Stepped{w * (1 - rate * decay) - rate * (double(d > 0) - double(d < 0)),
                       beta2 * m + (1 - beta2) * g * clip};
      });
  if constexpr (std::is_same_v<Weights, kernel::Plain<float>>)
    check_step<Weights>(
        j, n, "running statistics",
        [&](auto w, auto, auto, float const* g, std::int64_t count) {
          j.run(kernel::AddChange<float>{w.at, g, count, rate});
        },
        [](double w, double first, double, double g) {
          return Stepped{w + rate * g, first};
        });
}

/// The passes of Lamb and Muon, whose states are floats.
template <class Weights>
void check_matrix_steps(Judge& j, std::int64_t n) {
  auto const update = [](double w, double m, double v) {
    return c1 * m / (std::sqrt(v * c2) + 1e-3) + decay * w;
  };
  std::int64_t const pieces = (n + 255) / 256;
  auto const partial = j.blank<double>(2 * pieces);
  auto const equal = j.put(std::vector<double>{1, 1});  // norms, for a ratio of 1
  double weights = 0, updates = 0;
  check_step<Weights>(
      j, n, "lamb",
      [&](auto w, auto m, auto v, float const* g, std::int64_t count) {
        j.run(kernel::LambMoments<float, Weights>{
            partial.get(), w, m.at, v.at, g, count, beta1, beta2, {c1, c2, 1e-3, decay}, clip});
        j.run(kernel::LambStep<float, Weights>{
            w, m.at, v.at, count, equal.get(), rate, 0.01, 10, {c1, c2, 1e-3, decay}});
      },
      [&](double w, double m, double v, double g) {
        double const d = g * clip;
        m = beta1 * m + (1 - beta1) * d, v = beta2 * v + (1 - beta2) * d * d;
        weights += w * w, updates += update(w, m, v) * update(w, m, v);
        return Stepped{w - rate * update(w, m, v), m, v};
      });
  std::vector<double> sums(2);
  auto const parts = partial.read();
  for (std::size_t i = 0; i < parts.size(); ++i) sums[i % 2] += parts[i];
  j.check("lamb's norms, " + (Held<Weights>::name + (" of " + std::to_string(n))), sums,
          {weights, updates}, roundings<float>(16), 0);
  check_step<Weights>(
      j, n, "muon",
      [&](auto w, auto u, auto m, float const* g, std::int64_t count) {
        j.run(kernel::MuonMomentum<float>{u.at, m.at, g, count, beta1, true, clip});
        j.run(kernel::MuonStep<float, Weights>{w, u.at, count, rate, decay});
      },
      [](double w, double, double m, double g) {
        double const d = g * clip, to = beta1 * m + d, u = d + beta1 * to;
        return Stepped{w * (1 - rate * decay) - rate * u, u, to};
      });
}

inline void check_quadratic(Judge& j, std::int64_t n) {
  auto const p = values<float>(n * n, 1), s = values<float>(n * n, 2);
  Buffer<float> const to(j.put(p)), from(j.put(s));
  j.run(kernel::Quadratic<float>{to.get(), from.get(), n, 3.4445, -4.775, 2.0315});
  std::vector<double> expected;
  for (std::size_t i = 0; i < p.size(); ++i)
    expected.push_back(-4.775 * double(p[i]) + 2.0315 * double(s[i]) +
                       (i % std::size_t(n + 1) == 0 ? 3.4445 : 0));
  j.check("muon's polynomial, fp32 of " + std::to_string(n), to, expected, roundings<float>(6));
}

template <class T>
void check_squares(Judge& j, std::int64_t n) {
  auto const x = values<T>(n, 1);
  Buffer<T> const in(j.put(x));
  kernel::SquaredSum<T> sum{nullptr, in.get(), n};
  auto const partial = j.blank<double>(sum.rows());
  sum.partial = partial.get();
  j.run(sum);
  std::vector<double> expected(std::size_t(sum.rows()));
  for (std::size_t i = 0; i < x.size(); ++i) expected[i / 256] += double(x[i]) * double(x[i]);
  j.check("squares, " + (type_name<T> + (" of " + std::to_string(n))), partial, expected,
          roundings<float>(10), 0);
}

/// Sums of flats: of ranks' parts, from the left, and exact ones.
inline void check_sums(Judge& j, std::int64_t n) {
  std::string const name = "fp32 of " + std::to_string(n);
  for (int const ranks : {2, 3, 8}) {
    auto const own = values<float>(n, 1), others = values<float>((ranks - 1) * n, 2);
    Buffer<float> const mine(j.put(own)), theirs(j.put(others));
    auto const out = j.some<float>(n, 3);
    std::vector<double> sum = wide(own), total = wide(out.read());
    for (std::size_t i = 0; i < others.size(); ++i) sum[i % own.size()] += double(others[i]);
    for (std::size_t i = 0; i < sum.size(); ++i) total[i] += sum[i];
    kernel::SumParts<float> parts{out.get(), mine.get(), theirs.get(), n, ranks / 2, ranks, true};
    j.run(parts);
    j.check("added sum of " + std::to_string(ranks) + " parts, " + name, out, total,
            roundings<float>(ranks + 1));
    parts.accumulate = false;
    j.run(parts);
    j.check("sum of " + std::to_string(ranks) + " parts, " + name, out, sum,
            roundings<float>(ranks));
    kernel::SumInOrder<float> left{out.get(), n, ranks, {}};
    for (int k = 0; k < ranks; ++k) left.part[k] = k == 0 ? mine.get() : theirs.get() + (k - 1) * n;
    j.run(left);
    j.check("sum of " + std::to_string(ranks) + " from the left, " + name, out, sum,
            roundings<float>(ranks));
  }
  // Exact: the bits of a sum in the other order, of terms that cancel over 90 powers of two.
  auto x = values<double>(n, 4);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::ldexp(x[i], int(i * 7 % 90));
  ExactSum backward;
  for (std::size_t i = x.size(); i-- > 0;) backward.add(x[i]);
  std::int64_t const count = 7;
  Buffer<double> const in(j.put(x));
  Buffer<ExactSum> const sums(j.put(std::vector<ExactSum>(std::size_t(count)))),
      total(j.put(std::vector<ExactSum>(1)));
  auto const rounded = j.blank<double>(1);
  j.run(kernel::SumExactly{.sums = sums.get(), .x = in.get(), .n = n, .parts = count});
  j.run(kernel::AddSums{.total = total.get(), .sums = sums.get(), .parts = count});
  j.run(kernel::RoundSums{.rounded = rounded.get(), .total = total.get(), .n = 1});
  j.check("exact sum, fp64 of " + std::to_string(n), {total.read()[0].value()}, {backward.value()},
          0, 0);
  j.check("exact sum, rounded, of " + std::to_string(n), rounded, {backward.value()}, 0, 0);
}

}  // namespace tessera::test
