// ranks: 1 2 4
// timeout: 120
/// LAMB in a trainer against the paper's algorithm in double, tensor by tensor.
#include <tessera/kernels/reduce.hpp>

#include "../run/small.hpp"

#include <map>

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr double rate = 0.01, beta1 = 0.9, beta2 = 0.999, eps = 1e-6, decay = 0.1;
constexpr char const* group = "blocks.1.mlp.*";  // half the rate, no decay

/// You et al., algorithm 2, with the bounds of the ratio as DeepSpeed has them.
struct Tensor {
  std::vector<double> w, m, v;

  double step(std::vector<Real> const& g, int t, double learning_rate, double shrink, double least,
              double most) {
    m.resize(w.size()), v.resize(w.size());
    std::vector<double> u(w.size());
    double weights = 0, updates = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      m[i] = beta1 * m[i] + (1 - beta1) * double(g[i]);
      v[i] = beta2 * v[i] + (1 - beta2) * double(g[i]) * double(g[i]);
      double const mean = m[i] / (1 - std::pow(beta1, t)), square = v[i] / (1 - std::pow(beta2, t));
      u[i] = mean / (std::sqrt(square) + eps) + shrink * w[i];
      weights += w[i] * w[i], updates += u[i] * u[i];
    }
    double ratio = 1;
    if (weights > 0 && updates > 0)
      ratio = std::min(std::max(std::sqrt(weights) / std::sqrt(updates), least), most);
    for (std::size_t i = 0; i < w.size(); ++i) w[i] -= learning_rate * ratio * u[i];
    return ratio;
  }
};

/// The largest distance from the paper's weights over `steps`, and the ratios that tensors had.
template <class... Policies>
void follow(double least, double most, double& lowest, double& highest) {
  Trainer<Small, Batch<2, 8>, Lamb, Policies...> trainer(
      world(), {.learning_rate = rate,
                .trust_least = least,
                .trust_most = most,
                .weight_decay = decay,
                .groups = {{.pattern = group, .rate = 0.5, .weight_decay = 0}}});
  std::map<std::string, Tensor> expected;
  for (std::string const& path : trainer.paths()) {
    auto const w = trainer.parameter(path);
    expected[path].w.assign(w.begin(), w.end());
  }
  for (int t = 1; t <= 6; ++t) {
    trainer.step(Counting{});
    for (auto& entry : expected) {
      std::string const& path = entry.first;
      Tensor& tensor = entry.second;
      INFO(path << " after step " << t);
      bool const grouped = matches(group, path), matrix = trainer.shape(path).rank > 1;
      double const ratio = tensor.step(trainer.gradient(path), t, grouped ? rate / 2 : rate,
                                       grouped || !matrix ? 0 : decay, least, most);
      lowest = std::min(lowest, ratio), highest = std::max(highest, ratio);
      auto const w = trainer.parameter(path);
      double apart = 0;
      for (std::size_t i = 0; i < w.size(); ++i)
        apart = std::max(apart, std::abs(double(w[i]) - tensor.w[i]));
      // Each step rounds w, at most 2, and rate ratio u: |u| up to about 4, in two dozen roundings.
      CHECK(apart <= t * (2 + rate * std::max(ratio, 1.0) * 4 * 24) * 6e-8);
    }
  }
}

}  // namespace

TEST_CASE("six steps of a trainer are the paper's, in groups, whole and sharded") {
  double lowest = 1e9, highest = 0;
  follow<Zero<0>>(0.01, 10, lowest, highest);
  follow<Zero<2>, Accumulate<2>>(0.01, 10, lowest, highest);
  follow<Zero<3>>(0.01, 10, lowest, highest);
  CHECK(lowest < 0.1);
}

TEST_CASE("the ratio stays within its bounds") {
  double lowest = 1e9, highest = 0;
  follow<Zero<1>>(0.05, 0.06, lowest, highest);
  CHECK(lowest == 0.05);
  CHECK(highest == 1);  // of biases at first: no weights, no ratio
}

/// Sums of pieces lie up to 2^80 apart: in double, their order would show.
TEST_CASE("a first pass sums exactly, with any scratch, in float and in two halves") {
  std::int64_t const n = 70 * 256 + 64;
  for (bool halves : {false, true}) {
    std::vector<std::vector<Real>> states;
    std::vector<double> sums;
    for (std::size_t const doubles : {282, 285, 2048, 8192}) {
      std::vector<Real> w(n), g(n), m(n), v(n);
      for (std::size_t i = 0; i < w.size(); ++i) {
        w[i] = std::ldexp(Real(int(i % 17) - 8) / 3, int(i / 256 * 37 % 80) - 40);
        g[i] = Real(int(i % 23) - 11) / 7;
      }
      std::vector<bf16> high(n);
      std::vector<std::int16_t> low(n);
      kernel::Split const split{high.data(), low.data()};
      for (std::int64_t i = 0; i < n; ++i) split.set(i, float(w[std::size_t(i)]));
      std::vector<double> scratch(doubles), pieces((n + 255) / 256);
      double found[2];
      Lamb::prepare(CpuTeam{},
                    {.low = halves ? DType::bf16 : DType::real,
                     .weights = halves ? static_cast<void*>(high.data()) : w.data(),
                     .master = halves ? low.data() : nullptr,
                     .gradients = g.data(),
                     .states = {m.data(), v.data()},
                     .elements = n,
                     .sums = found,
                     .scratch = scratch},
                    {.decay = 0.1});
      CpuTeam{}.run(kernel::SquaredSum<Real>{pieces.data(), w.data(), n});
      ExactSum squares;
      for (std::size_t i = pieces.size(); i-- > 0;) squares.add(pieces[i]);
      CHECK(found[0] == squares.value());
      states.push_back(m), states.push_back(v);
      sums.push_back(found[0]), sums.push_back(found[1]);
      CHECK(same_bits(states.front(), m));
      CHECK(same_bits(states[1], v));
      CHECK(sums[0] == found[0]);
      CHECK(sums[1] == found[1]);
    }
  }
}

TEST_CASE("bounds in the wrong order are refused, and the sentence names them") {
  for (auto const& [least, most] : {std::pair(2.0, 1.0), std::pair(-1.0, 1.0)}) {
    Trainer<Small, Batch<2, 8>, Lamb> trainer(world(), {.trust_least = least, .trust_most = most});
    std::string const said = refusal([&] { trainer.step(Counting{}); });
    INFO(said);
    CHECK(is_one_sentence(said));
    CHECK(contains(said, "0 <= trust_least <= trust_most"));
  }
}
