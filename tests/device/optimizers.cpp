// cuda
// ranks: 1 2 4
// timeout: 120
/// Optimizers that work across tensors, on a GPU's double: the same bits in every layout, and the
/// losses of cores.
#include <cuda_double/memory.hpp>

#include <cmath>
#include <vector>

#include "run/small.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

using Model = Gpt2<2, 16, 2, 17, 8>;

struct Trained {
  std::vector<double> losses;
  std::vector<std::vector<Real>> values;
};

template <class Optimizer, class... Policies>
Trained trained(int steps = 3) {
  Trainer<Model, Batch<2, 8>, Optimizer, ClipNorm, Policies...> trainer(
      world(), {.learning_rate = 1e-2,
                .weight_decay = 0.1,
                .groups = {{.pattern = "blocks.1.mlp.*", .rate = 0.5, .weight_decay = 0}}});
  Trained t;
  std::size_t const allocated = cuda_double::allocated();
  for (int i = 0; i < steps; ++i) t.losses.push_back(trainer.step(Counting{}).loss);
  CHECK(cuda_double::allocated() == allocated);
  Traffic const& c = trainer.engine().traffic();
  CHECK(c.exchanged.copied ==
        steps * (copied(trainer.plan(), Do::exchange) + copied(trainer.plan(), Do::exchange_sums)));
  t.losses.push_back(trainer.evaluate(Counting{}));
  for (std::string const& path : trainer.paths()) {
    t.values.push_back(trainer.parameter(path));
    for (std::string_view const name : trainer.engine().states_of(path))
      t.values.push_back(trainer.state(name, path));
  }
  return t;
}

bool same(Trained const& a, Trained const& b) {
  return a.losses == b.losses &&
         std::equal(a.values.begin(), a.values.end(), b.values.begin(), b.values.end(),
                    [](auto const& x, auto const& y) { return same_bits(x, y); });
}

/// The largest relative distance between losses of weights that have stepped apart.
double apart(Trained const& a, Trained const& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.losses.size(); ++i)
    most = std::max(most, std::abs(a.losses[i] / b.losses[i] - 1));
  return most;
}

/// In float, products are summed in another order than on cores: roundings of 2^-24, and losses see
/// steps of 1e-2. In bf16, what is rounded the other way is apart by 2^-8 itself.
template <class Optimizer>
void check() {
  using Gpu = On<Cuda>;
  Trained const whole = trained<Optimizer, Gpu, Zero<0>>();
  CHECK(apart(whole, trained<Optimizer, Zero<0>>()) < 1e-6);
  CHECK(same(whole, trained<Optimizer, Gpu, Zero<1>>()));
  CHECK(same(whole, trained<Optimizer, Gpu, Zero<2>, Graphs>()));
  CHECK(same(whole, trained<Optimizer, Gpu, Zero<3>>()));

  Trained const low =
      trained<Optimizer, Gpu, Zero<0>, Accumulate<2>, Reduce<Micro>, Precision<bf16>>();
  CHECK(apart(low, trained<Optimizer, Zero<0>, Accumulate<2>, Reduce<Micro>, Precision<bf16>>()) <
        1e-4);
  CHECK(
      same(low, trained<Optimizer, Gpu, Zero<3>, Accumulate<2>, Reduce<Micro>, Precision<bf16>>()));
}

}  // namespace

TEST_CASE("Lamb: every tensor's sums are the same, whoever owns its parts") {
  check<Lamb>();
}
TEST_CASE("Muon: matrices are whole, wherever parts end") {
  check<Muon>();
}
