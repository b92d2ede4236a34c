// ranks: 1 2 4
// timeout: 120
/// Muon in a trainer against its published rule in double, tensor by tensor.
#include "../run/small.hpp"
#include "newton_schulz_reference.hpp"

#include <map>
#include <set>

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr double rate = 0.01, decay = 0.1, momentum = 0.95;
constexpr double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
constexpr char const* group = "blocks.1.mlp.*";  // half the rate, no decay

/// Liu et al., section 2: with momentum as an own buffer, M = mu M + G, and Nesterov's update.
struct Tensor {
  std::vector<double> w, m, v;

  void muon(std::vector<Real> const& g, Shape shape, double learning_rate, double shrink) {
    m.resize(w.size());
    std::vector<double> u(w.size());
    for (std::size_t i = 0; i < w.size(); ++i) {
      m[i] = momentum * m[i] + double(g[i]);
      u[i] = double(g[i]) + momentum * m[i];
    }
    u = newton_schulz(u, shape[0], shape[1]);
    double const scale = 0.2 * std::sqrt(double(std::max(shape[0], shape[1])));
    for (std::size_t i = 0; i < w.size(); ++i)
      w[i] -= learning_rate * (scale * u[i] + shrink * w[i]);
  }
  void adamw(std::vector<Real> const& g, int t, double learning_rate, double shrink) {
    m.resize(w.size()), v.resize(w.size());
    for (std::size_t i = 0; i < w.size(); ++i) {
      m[i] = beta1 * m[i] + (1 - beta1) * double(g[i]);
      v[i] = beta2 * v[i] + (1 - beta2) * double(g[i]) * double(g[i]);
      double const mean = m[i] / (1 - std::pow(beta1, t)), square = v[i] / (1 - std::pow(beta2, t));
      w[i] -= learning_rate * (mean / (std::sqrt(square) + eps) + shrink * w[i]);
    }
  }
};

/// What Muon takes of a GPT-2: no table, no vector.
bool is_hidden(std::string const& path) {
  return contains(path, "blocks.") && path.ends_with(".weight");
}

template <class... Policies>
void follow() {
  Trainer<Small, Batch<2, 8>, Muon, Policies...> trainer(
      world(), {.learning_rate = rate,
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
      Shape const shape = trainer.shape(path);
      bool const grouped = matches(group, path);
      double const learning_rate = grouped ? rate / 2 : rate,
                   shrink = grouped || shape.rank == 1 ? 0 : decay;
      auto const g = trainer.gradient(path);
      if (is_hidden(path))
        tensor.muon(g, shape, learning_rate, shrink);
      else
        tensor.adamw(g, t, learning_rate, shrink);
      auto const w = trainer.parameter(path);
      double apart = 0;
      for (std::size_t i = 0; i < w.size(); ++i)
        apart = std::max(apart, std::abs(double(w[i]) - tensor.w[i]));
      // Each step rounds w, at most 2, twice. A matrix also moves by rate 0.2 sqrt(128) u, where
      // roundings of momentum are stretched by 3.45^5 and those of products by 200: u is apart by
      // (485 * 4 + 200 * 6) 2^-24 at most. AdamW's direction is at most 4, in two dozen roundings.
      double const direction = is_hidden(path) ? 0.2 * std::sqrt(128.0) * 3140 : 4 * 24;
      CHECK(apart <= t * (2 * 2 + rate * direction) * 6e-8);
    }
  }
}

}  // namespace

TEST_CASE("six steps of a trainer are the published ones, in groups, whole and sharded") {
  follow<Zero<0>>();
  follow<Zero<2>, Accumulate<2>>();
  follow<Zero<3>>();
}

TEST_CASE("matrices have a momentum, the rest Adam's moments; asking for another is refused") {
  Trainer<Small, Batch<2, 8>, Muon, Zero<1>> trainer(world());
  trainer.step(Counting{});
  std::set<std::string> hidden;
  for (std::string const& path : trainer.paths()) {
    INFO(path);
    auto const names = trainer.engine().states_of(path);
    REQUIRE(names.size() == (is_hidden(path) ? 1 : 2));
    CHECK(names[0] == (is_hidden(path) ? "momentum_buffer" : "exp_avg"));
    std::string const other = is_hidden(path) ? "exp_avg" : "momentum_buffer";
    CHECK(contains(refusal([&] { trainer.state(other, path); }), "has no state '" + other + "'"));
    if (is_hidden(path)) hidden.insert(path);
  }
  CHECK(hidden.size() == 8);  // qkv, out, up, down of two blocks
  auto const text = trainer.generate(std::vector<std::int32_t>{1, 2, 3}, 4);
  CHECK(text.size() == 7);
}

/// A matrix that is a table of positions, too.
struct Twice {
  Param<32, 32> table;
  constexpr Value operator()(Value x) const { return matmul(add_position(x, table), table); }
};
struct Tables {
  Embedding<17, 32> embed;
  Twice twice;
  LmHead<17, 32> head;
};

TEST_CASE("a matrix that is tied, frozen or a table, or read by other ops too, is not Muon's") {
  using Gpt = Gpt2<1, 32, 2, 17, 8>;
  using S = Trainer<Gpt, Batch<2, 8>, Muon, Frozen<"*.up.*">>;
  Facts const f = S::facts();
  int matrices = 0;
  for (FlatInfo const& flat : f.flats) {
    if (!flat.matrices) continue;
    ++matrices;
    CHECK(flat.name == "blocks");
    CHECK(flat.trainable);
    CHECK(flat.tensors == 3);  // without up, which is frozen
  }
  CHECK(matrices == 1);
  CHECK(f.matrices.size() == 3);
  CHECK(Trainer<Gpt, Batch<2, 8>, AdamW>::facts().matrices.empty());
  CHECK(Trainer<Tables, Batch<2, 8>, Muon>::facts().matrices.empty());
  Trainer<Tables, Batch<2, 8>, Muon> tables(world());
  CHECK(tables.step(Counting{}).loss > 0);
}
