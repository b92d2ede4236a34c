#include <tessera/kernels/lion.hpp>

#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr double lr = 1e-2, beta1 = 0.9, beta2 = 0.99, decay = 0.1, clip = 0.75;

/// Chen et al., algorithm 2, line by line.
struct Reference {
  std::vector<double> w, m;

  template <class T>
  explicit Reference(std::vector<T> const& weights)
      : w(weights.begin(), weights.end()), m(w.size(), 0.0) {}

  template <class T>
  void step(std::vector<T> const& g) {
    for (std::size_t i = 0; i < w.size(); ++i) {
      double const d = double(g[i]) * clip;
      double const c = beta1 * m[i] + (1 - beta1) * d;
      w[i] -= lr * ((c > 0 ? 1 : c < 0 ? -1 : 0) + decay * w[i]);
      m[i] = beta2 * m[i] + (1 - beta2) * d;
    }
  }
};

template <class T>
struct State {
  std::vector<T> w, m;

  explicit State(std::vector<T> const& weights) : w(weights), m(w.size(), T(0)) {}
  void step(std::vector<T> const& g) { step(kernel::Plain<T>(w.data()), g); }
  template <class Weights>
  void step(Weights weights, std::vector<T> const& g) {
    CpuTeam{}.run(kernel::Lion<T, Weights>{.w = weights,
                                           .m = m.data(),
                                           .g = g.data(),
                                           .n = std::int64_t(m.size()),
                                           .lr = lr,
                                           .beta1 = beta1,
                                           .beta2 = beta2,
                                           .decay = decay,
                                           .gradient_scale = clip});
  }
};

}  // namespace

TEST_CASE_TEMPLATE("five steps follow algorithm 2 of Lion's paper", T, float, double) {
  for (std::int64_t const n : lengths) {
    CAPTURE(n);
    auto const w = values<T>(n, 1);
    Reference expected(w);
    State<T> found(w);
    for (int t = 1; t <= 5; ++t) {
      auto g = values<T>(n, std::uint64_t(10 + t));
      if (t < 4) g[0] = 0;  // sign(0) is 0: decay alone moves the weight
      expected.step(g), found.step(g);
      CHECK(distance(found.w, expected.w) <= tolerance<T>(6e-7));
      CHECK(distance(found.m, expected.m) <= tolerance<T>(2e-7));
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
      whole.step(g), low.step(stored.weights(), g);
      CHECK(stored.joined() == whole.w);
      CHECK(low.m == whole.m);
    }
  }
}

TEST_CASE("the same bits on one and two threads and from any start") {
  auto const w = values<float>(3 * 4096 + 5, 2), g = values<float>(3 * 4096 + 5, 3);
  CHECK(same_from_anywhere(w, g, [](std::vector<float> const& weights, auto const& gradient) {
    State<float> s(weights);
    for (int t = 1; t <= 2; ++t) s.step(gradient);
    return s.w;
  }));
}
