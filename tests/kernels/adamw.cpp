// nvcc
#include <tessera/kernels/adamw.hpp>

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "check.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr double lr = 1e-2, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, decay = 0.1, clip = 0.75;

/// torch.optim.AdamW, line by line.
struct Reference {
  std::vector<double> w, m, v;

  template <class T>
  explicit Reference(std::vector<T> const& weights)
      : w(weights.begin(), weights.end()), m(w.size(), 0.0), v(w.size(), 0.0) {}

  template <class T>
  void step(int t, std::vector<T> const& g) {
    for (std::size_t i = 0; i < w.size(); ++i) {
      double const d = double(g[i]) * clip;
      w[i] -= lr * decay * w[i];
      m[i] = beta1 * m[i] + (1 - beta1) * d;
      v[i] = beta2 * v[i] + (1 - beta2) * d * d;
      double const denominator = std::sqrt(v[i]) / std::sqrt(1 - std::pow(beta2, t)) + eps;
      w[i] -= lr / (1 - std::pow(beta1, t)) * m[i] / denominator;
    }
  }
};

template <class T>
struct State {
  std::vector<T> w, m, v;

  explicit State(std::vector<T> const& weights) : w(weights), m(w.size(), T(0)), v(m) {}
  void step(int t, std::vector<T> const& g) {
    CpuTeam{}.run(kernel::AdamW<T>{.w = w.data(),
                                   .m = m.data(),
                                   .v = v.data(),
                                   .g = g.data(),
                                   .n = std::int64_t(w.size()),
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

}  // namespace

TEST_CASE_TEMPLATE("five steps follow torch.optim.AdamW's rule", T, float, double) {
  for (std::int64_t const n : lengths) {
    CAPTURE(n);
    auto const w = values<T>(n, 1);
    Reference expected(w);
    State<T> found(w);
    for (int t = 1; t <= 5; ++t) {
      auto g = values<T>(n, std::uint64_t(10 + t));
      if (t < 5) g[0] = 0;  // zero moments: 0 / (0 + eps)
      expected.step(t, g), found.step(t, g);
      // Two roundings of w, of 6e-8 each, in each of five steps: the product, then the difference.
      CHECK(distance(found.w, expected.w) <= tolerance<T>(6e-7));
      CHECK(distance(found.m, expected.m) <= tolerance<T>(2e-7));
      CHECK(distance(found.v, expected.v) <= tolerance<T>(2e-7));
    }
  }
}

TEST_CASE("one chunk more than a chunk, the same bits on one and two threads and from any start") {
  std::int64_t const n = 3 * 4096 + 5;
  auto const w = values<float>(n, 2), g = values<float>(n, 3);
  State<float> whole(w);
  CHECK(same_on_threads([&] {
    whole = State<float>(w);
    whole.step(1, g);
    return whole.w;
  }));
  for (std::int64_t const first :
       {256, 4096, 4096 + 256}) {  // parts of a flat are multiples of 256
    State<float> part(std::vector<float>(w.begin() + first, w.begin() + first + 4096));
    part.step(1, std::vector<float>(g.begin() + first, g.begin() + first + 4096));
    CHECK(std::equal(part.w.begin(), part.w.end(), whole.w.begin() + first));
  }
}
