#include <tessera/kernels/sgd.hpp>

#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr double lr = 1e-2, momentum = 0.9, decay = 0.1, clip = 0.75;

/// torch.optim.SGD, line by line: the first step's buffer is its gradient.
struct Reference {
  std::vector<double> w, b;

  template <class T>
  explicit Reference(std::vector<T> const& weights)
      : w(weights.begin(), weights.end()), b(w.size(), 0.0) {}

  template <class T>
  void step(int t, std::vector<T> const& g, bool nesterov) {
    for (std::size_t i = 0; i < w.size(); ++i) {
      double const d = double(g[i]) * clip + decay * w[i];
      b[i] = t == 1 ? d : momentum * b[i] + d;
      w[i] -= lr * (nesterov ? d + momentum * b[i] : b[i]);
    }
  }
};

template <class T>
struct State {
  std::vector<T> w, b;

  explicit State(std::vector<T> const& weights) : w(weights), b(w.size(), T(0)) {}
  void step(std::vector<T> const& g, bool nesterov) {
    step(kernel::Plain<T>(w.data()), g, nesterov);
  }
  template <class Weights>
  void step(Weights weights, std::vector<T> const& g, bool nesterov) {
    CpuTeam{}.run(kernel::Sgd<T, Weights>{.w = weights,
                                          .b = b.data(),
                                          .g = g.data(),
                                          .n = std::int64_t(b.size()),
                                          .lr = lr,
                                          .momentum = momentum,
                                          .decay = decay,
                                          .nesterov = nesterov,
                                          .gradient_scale = clip});
  }
};

}  // namespace

TEST_CASE_TEMPLATE("five steps follow torch.optim.SGD's rule, with and without Nesterov", T, float,
                   double) {
  for (bool const nesterov : {false, true})
    for (std::int64_t const n : lengths) {
      CAPTURE(n);
      CAPTURE(nesterov);
      auto const w = values<T>(n, 1);
      Reference expected(w);
      State<T> found(w);
      for (int t = 1; t <= 5; ++t) {
        auto const g = values<T>(n, std::uint64_t(10 + t));
        expected.step(t, g, nesterov), found.step(g, nesterov);
        CHECK(distance(found.w, expected.w) <= tolerance<T>(6e-7));
        CHECK(distance(found.b, expected.b) <= tolerance<T>(6e-7));
      }
    }
}

TEST_CASE_TEMPLATE("weights in 16 bits take the same steps", Stored, Halves, Copies) {
  for (bool const nesterov : {false, true})
    for (std::int64_t const n : lengths) {
      CAPTURE(n);
      State<float> whole(values<float>(n, 1));
      State<float> low(whole.w);
      Stored stored(whole.w);
      for (int t = 1; t <= 5; ++t) {
        auto const g = values<float>(n, std::uint64_t(10 + t));
        whole.step(g, nesterov), low.step(stored.weights(), g, nesterov);
        CHECK(stored.joined() == whole.w);
        CHECK(low.b == whole.b);
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
