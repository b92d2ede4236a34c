#include <tessera/kernels/adam.hpp>

#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr double lr = 1e-2, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, decay = 0.1, clip = 0.75;

/// torch.optim.Adam and torch.optim.AdamW, line by line.
template <bool Decoupled>
struct Reference {
  std::vector<double> w, m, v;

  template <class T>
  explicit Reference(std::vector<T> const& weights)
      : w(weights.begin(), weights.end()), m(w.size(), 0.0), v(w.size(), 0.0) {}

  template <class T>
  void step(int t, std::vector<T> const& g) {
    for (std::size_t i = 0; i < w.size(); ++i) {
      double const d = double(g[i]) * clip + (Decoupled ? 0 : decay * w[i]);
      if (Decoupled) w[i] -= lr * decay * w[i];
      m[i] = beta1 * m[i] + (1 - beta1) * d;
      v[i] = beta2 * v[i] + (1 - beta2) * d * d;
      double const denominator = std::sqrt(v[i]) / std::sqrt(1 - std::pow(beta2, t)) + eps;
      w[i] -= lr / (1 - std::pow(beta1, t)) * m[i] / denominator;
    }
  }
};

template <class T, bool Decoupled>
struct State {
  std::vector<T> w, m, v;

  explicit State(std::vector<T> const& weights)
      : w(weights), m(w.size(), T(0)), v(w.size(), T(0)) {}
  void step(int t, std::vector<T> const& g) { step(kernel::Plain<T>(w.data()), t, g); }
  template <class Weights>
  void step(Weights weights, int t, std::vector<T> const& g) {
    CpuTeam{}.run(kernel::Adam<T, Weights, Decoupled>{.w = weights,
                                                      .m = m.data(),
                                                      .v = v.data(),
                                                      .g = g.data(),
                                                      .n = std::int64_t(m.size()),
                                                      .lr = lr,
                                                      .beta1 = beta1,
                                                      .beta2 = beta2,
                                                      .eps = eps,
                                                      .decay = decay,
                                                      .correction1 = 1 / (1 - std::pow(beta1, t)),
                                                      .correction2 = 1 / (1 - std::pow(beta2, t)),
                                                      .gradient_scale = clip});
  }
};

template <class T, bool Decoupled>
void check_rule() {
  CAPTURE(Decoupled);
  for (std::int64_t const n : lengths) {
    CAPTURE(n);
    auto const w = values<T>(n, 1);
    Reference<Decoupled> expected(w);
    State<T, Decoupled> found(w);
    for (int t = 1; t <= 5; ++t) {
      auto g = values<T>(n, std::uint64_t(10 + t));
      if (Decoupled && t < 5) g[0] = 0;  // zero moments: 0 / (0 + eps)
      expected.step(t, g), found.step(t, g);
      // Two roundings of w, of 6e-8 each, in each of five steps: the product, then the difference.
      CHECK(distance(found.w, expected.w) <= tolerance<T>(6e-7));
      CHECK(distance(found.m, expected.m) <= tolerance<T>(2e-7));
      CHECK(distance(found.v, expected.v) <= tolerance<T>(2e-7));
    }
  }
}

template <class Stored, bool Decoupled>
void check_stored() {
  CAPTURE(Decoupled);
  for (std::int64_t const n : lengths) {
    CAPTURE(n);
    State<float, Decoupled> whole(values<float>(n, 1));
    State<float, Decoupled> low(whole.w);
    Stored stored(whole.w);
    for (int t = 1; t <= 5; ++t) {
      auto const g = values<float>(n, std::uint64_t(10 + t));
      whole.step(t, g), low.step(stored.weights(), t, g);
      CHECK(stored.joined() == whole.w);
      CHECK(low.m == whole.m);
      CHECK(low.v == whole.v);
    }
  }
}

template <bool Decoupled>
bool same_bits_anywhere() {
  auto const w = values<float>(3 * 4096 + 5, 2), g = values<float>(3 * 4096 + 5, 3);
  return same_from_anywhere(w, g, [](std::vector<float> const& weights, auto const& gradient) {
    State<float, Decoupled> s(weights);
    for (int t = 1; t <= 2; ++t) s.step(t, gradient);
    return s.w;
  });
}

}  // namespace

TEST_CASE_TEMPLATE("five steps follow the rules of torch.optim.Adam and AdamW", T, float, double) {
  check_rule<T, false>();
  check_rule<T, true>();
}

TEST_CASE_TEMPLATE("weights in 16 bits take the same steps", Stored, Halves, Copies) {
  check_stored<Stored, false>();
  check_stored<Stored, true>();
}

TEST_CASE("the same bits on one and two threads and from any start") {
  CHECK(same_bits_anywhere<false>());
  CHECK(same_bits_anywhere<true>());
}
