#include <tessera/kernels/lamb.hpp>

#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr double lr = 1e-2, beta1 = 0.9, beta2 = 0.999, eps = 1e-6, decay = 0.1, clip = 0.75;

template <class W>
kernel::LambUpdate<W> update_of(int t) {
  return {1 / (1 - std::pow(beta1, t)), 1 / (1 - std::pow(beta2, t)), eps, decay};
}

/// You et al., algorithm 2, line by line; the norms are over all of w.
struct Reference {
  std::vector<double> w, m, v;

  template <class T>
  explicit Reference(std::vector<T> const& weights)
      : w(weights.begin(), weights.end()), m(w.size(), 0.0), v(w.size(), 0.0) {}

  template <class T>
  void step(std::vector<T> const& g, int t) {
    std::vector<double> u(w.size());
    double weights = 0, updates = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      double const d = double(g[i]) * clip;
      m[i] = beta1 * m[i] + (1 - beta1) * d;
      v[i] = beta2 * v[i] + (1 - beta2) * d * d;
      double const mean = m[i] / (1 - std::pow(beta1, t)), square = v[i] / (1 - std::pow(beta2, t));
      u[i] = mean / (std::sqrt(square) + eps) + decay * w[i];
      weights += w[i] * w[i], updates += u[i] * u[i];
    }
    for (std::size_t i = 0; i < w.size(); ++i) w[i] -= lr * std::sqrt(weights / updates) * u[i];
  }
};

template <class T>
struct State {
  std::vector<T> w, m, v;
  std::vector<double> partial;

  explicit State(std::vector<T> const& weights)
      : w(weights), m(w.size(), T(0)), v(w.size(), T(0)), partial(2 * (w.size() + 255) / 256 + 2) {}
  void step(std::vector<T> const& g, int t) { step(kernel::Plain<T>(w.data()), g, t); }
  template <class Weights>
  void step(Weights weights, std::vector<T> const& g, int t) {
    kernel::LambMoments<T, Weights> const first{.partial = partial.data(),
                                                .w = weights,
                                                .m = m.data(),
                                                .v = v.data(),
                                                .g = g.data(),
                                                .n = std::int64_t(m.size()),
                                                .beta1 = beta1,
                                                .beta2 = beta2,
                                                .update = update_of<T>(t),
                                                .gradient_scale = clip};
    CpuTeam{}.run(first);
    double sums[2]{};
    for (std::int64_t k = 0; k < 2 * first.rows(); ++k) sums[k % 2] += partial[std::size_t(k)];
    CpuTeam{}.run(kernel::LambStep<T, Weights>{.w = weights,
                                               .m = m.data(),
                                               .v = v.data(),
                                               .n = std::int64_t(m.size()),
                                               .sums = sums,
                                               .rate = lr,
                                               .least = 0,
                                               .most = 1e9,
                                               .update = update_of<T>(t)});
  }
};

}  // namespace

TEST_CASE_TEMPLATE("five steps follow algorithm 2 of LAMB's paper", T, float, double) {
  for (std::int64_t const n : lengths) {
    CAPTURE(n);
    auto const w = values<T>(n, 1);
    Reference expected(w);
    State<T> found(w);
    for (int t = 1; t <= 5; ++t) {
      auto const g = values<T>(n, std::uint64_t(10 + t));
      expected.step(g, t), found.step(g, t);
      // A step adds a rounding of w (up to 2.2) and lr ratio u, u up to 5 with a dozen roundings
      // and a mean that may cancel; lr ratio is at most 0.05: 5 (2.2 + 0.05 * 5 * 12) 2^-24.
      CHECK(distance(found.w, expected.w) <= tolerance<T>(1.6e-6));
      CHECK(distance(found.m, expected.m) <= tolerance<T>(4e-7));
      CHECK(distance(found.v, expected.v) <= tolerance<T>(4e-7));
    }
  }
}

TEST_CASE_TEMPLATE("weights in 16 bits take the same steps", Stored, Halves, Copies) {
  for (std::int64_t const n : lengths) {
    CAPTURE(n);
    State<float> whole(values<float>(n, 1));
    State<float> low(whole.w);
    Stored stored(whole.w);
    for (int t = 1; t <= 5; ++t) {
      auto const g = values<float>(n, std::uint64_t(10 + t));
      whole.step(g, t), low.step(stored.weights(), g, t);
      CHECK(stored.joined() == whole.w);
      CHECK(low.m == whole.m);
      CHECK(low.v == whole.v);
    }
  }
}

TEST_CASE("the ratio is within its bounds, and 1 where either norm is 0") {
  kernel::LambStep<float> step{};
  step.least = 0.5, step.most = 2;
  auto const ratio = [&](double weights, double update) {
    double const sums[]{weights, update};
    step.sums = sums;
    return step.ratio();
  };
  CHECK(ratio(9, 4) == 1.5);
  CHECK(ratio(1, 100) == 0.5);
  CHECK(ratio(100, 1) == 2);
  CHECK(ratio(0, 4) == 1);
  CHECK(ratio(4, 0) == 1);
}

TEST_CASE("the same bits on one and two threads") {
  auto const w = values<float>(3 * 4096 + 5, 2), g = values<float>(3 * 4096 + 5, 3);
  CHECK(same_on_threads([&] {
    State<float> s(w);
    for (int t = 1; t <= 2; ++t) s.step(g, t);
    return s.w;
  }));
}
