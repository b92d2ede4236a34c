#include <tessera/kernels/muon.hpp>

#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr double lr = 1e-2, decay = 0.1, momentum = 0.95, clip = 0.75;

/// Momentum as in torch.optim.SGD without dampening, and a step of decoupled decay.
struct Reference {
  std::vector<double> w, m, u;

  template <class T>
  explicit Reference(std::vector<T> const& weights)
      : w(weights.begin(), weights.end()), m(w.size(), 0.0), u(w.size()) {}

  template <class T>
  void step(std::vector<T> const& g, bool nesterov) {
    for (std::size_t i = 0; i < w.size(); ++i) {
      double const d = double(g[i]) * clip;
      m[i] = momentum * m[i] + d;
      u[i] = nesterov ? d + momentum * m[i] : m[i];
      w[i] = w[i] - lr * (u[i] + decay * w[i]);
    }
  }
};

template <class T>
struct State {
  std::vector<T> w, m, u;

  explicit State(std::vector<T> const& weights)
      : w(weights), m(w.size(), T(0)), u(w.size(), T(0)) {}
  void step(std::vector<T> const& g, bool nesterov) {
    step(kernel::Plain<T>(w.data()), g, nesterov);
  }
  template <class Weights>
  void step(Weights weights, std::vector<T> const& g, bool nesterov) {
    CpuTeam{}.run(kernel::MuonMomentum<T>{.u = u.data(),
                                          .m = m.data(),
                                          .g = g.data(),
                                          .n = std::int64_t(m.size()),
                                          .momentum = momentum,
                                          .nesterov = nesterov,
                                          .gradient_scale = clip});
    CpuTeam{}.run(kernel::MuonStep<T, Weights>{
        .w = weights, .u = u.data(), .n = std::int64_t(m.size()), .lr = lr, .decay = decay});
  }
};

}  // namespace

TEST_CASE_TEMPLATE("five steps along a momentum, ahead of it or not", T, float, double) {
  for (std::int64_t const n : lengths)
    for (bool const nesterov : {false, true}) {
      CAPTURE(n);
      auto const w = values<T>(n, 1);
      Reference expected(w);
      State<T> found(w);
      for (int t = 1; t <= 5; ++t) {
        auto const g = values<T>(n, std::uint64_t(10 + t));
        expected.step(g, nesterov), found.step(g, nesterov);
        // Sums of up to five gradients of 1.5, three roundings each: 5 * 7.5 * 3 * 2^-24.
        CHECK(distance(found.m, expected.m) <= tolerance<T>(7e-6));
        CHECK(distance(found.u, expected.u) <= tolerance<T>(7e-6));
        // Three roundings a step of w, at most 2.5, and lr of the above: 5 (2.5 * 3 2^-24 + 7e-8).
        CHECK(distance(found.w, expected.w) <= tolerance<T>(2.6e-6));
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
      whole.step(g, true), low.step(stored.weights(), g, true);
      CHECK(stored.joined() == whole.w);
      CHECK(low.m == whole.m);
    }
  }
}

TEST_CASE("the same bits on one and two threads and from any start") {
  auto const w = values<float>(3 * 4096 + 5, 2), g = values<float>(3 * 4096 + 5, 3);
  CHECK(same_from_anywhere(w, g, [](std::vector<float> const& weights, auto const& gradient) {
    State<float> s(weights);
    for (int t = 1; t <= 2; ++t) s.step(gradient, true);
    return s.w;
  }));
}

TEST_CASE_TEMPLATE("a quadratic of a matrix has its constant on the diagonal", T, float, double) {
  for (std::int64_t const n : {1, 7, 33, 129}) {
    auto p = values<T>(n * n, 1);
    auto const s = values<T>(n * n, 2);
    std::vector<double> expected(p.begin(), p.end());
    for (std::size_t i = 0; i < expected.size(); ++i)
      expected[i] = 0.75 * expected[i] - 1.5 * double(s[i]) +
                    (std::int64_t(i) / n == std::int64_t(i) % n ? 3.0 : 0);
    CpuTeam{}.run(kernel::Quadratic<T>{p.data(), s.data(), n, 3.0, 0.75, -1.5});
    CHECK(distance(p, expected) <= tolerance<T>(1.5e-6));  // at most 7.5, three roundings
  }
}
