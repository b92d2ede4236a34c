#include <tessera/kernels/adagrad.hpp>

#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr double lr = 1e-2, eps = 1e-10, decay = 0.1, clip = 0.75;

/// torch.optim.Adagrad with lr_decay 0, line by line.
struct Reference {
  std::vector<double> w, s;

  template <class T>
  explicit Reference(std::vector<T> const& weights)
      : w(weights.begin(), weights.end()), s(w.size(), 0.0) {}

  template <class T>
  void step(std::vector<T> const& g) {
    for (std::size_t i = 0; i < w.size(); ++i) {
      double const d = double(g[i]) * clip + decay * w[i];
      s[i] += d * d;
      w[i] -= lr * d / (std::sqrt(s[i]) + eps);
    }
  }
};

template <class T>
struct State {
  std::vector<T> w, s;

  explicit State(std::vector<T> const& weights) : w(weights), s(w.size(), T(0)) {}
  void step(std::vector<T> const& g) { step(kernel::Plain<T>(w.data()), g); }
  template <class Weights>
  void step(Weights weights, std::vector<T> const& g) {
    CpuTeam{}.run(kernel::Adagrad<T, Weights>{.w = weights,
                                              .s = s.data(),
                                              .g = g.data(),
                                              .n = std::int64_t(s.size()),
                                              .lr = lr,
                                              .eps = eps,
                                              .decay = decay,
                                              .gradient_scale = clip});
  }
};

}  // namespace

TEST_CASE_TEMPLATE("five steps follow torch.optim.Adagrad's rule", T, float, double) {
  for (std::int64_t const n : lengths) {
    CAPTURE(n);
    auto const w = values<T>(n, 1);
    Reference expected(w);
    State<T> found(w);
    for (int t = 1; t <= 5; ++t) {
      auto const g = values<T>(n, std::uint64_t(10 + t));
      expected.step(g), found.step(g);
      CHECK(distance(found.w, expected.w) <= tolerance<T>(6e-7));
      CHECK(distance(found.s, expected.s) <= tolerance<T>(6e-7));
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
      CHECK(low.s == whole.s);
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
