// ranks: 1 2 4
// timeout: 120
/// Every optimizer under every layout: the same bits, a loss that falls, bytes as planned.
#include "../run/small.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

struct State {
  double before = 0, after = 0;  // losses of all samples
  std::vector<double> losses;
  std::vector<std::vector<Real>> values;
};

/// Bytes that this rank has moved, and those that crossed in principle.
std::pair<Bytes, Bytes> traffic(Traffic const& c) {
  Bytes moved = 0, crossed = 0;
  for (Counter const& n : {c.gathered, c.reduced, c.gradients_gathered, c.exchanged})
    moved += n.copied, crossed += n.payload;
  return {moved, crossed};
}

template <class Optimizer, class... Policies>
State trained(Options const& options, int steps = 12) {
  Trainer<Small, Batch<2, 8>, Optimizer, ClipNorm, Policies...> trainer(world(), options);
  State s;
  s.before = trainer.evaluate(Counting{});
  Traffic const& collective = trainer.engine().traffic();
  auto const [moved, crossed] = traffic(collective);
  for (int i = 0; i < steps; ++i) s.losses.push_back(trainer.step(Counting{}).loss);
  CHECK(traffic(collective).first - moved == steps * copied(trainer.plan()));
  CHECK(traffic(collective).second - crossed == steps * payload(trainer.plan()));
  s.after = trainer.evaluate(Counting{});
  for (std::string const& path : trainer.paths()) {
    s.values.push_back(trainer.parameter(path));
    for (std::string_view const name : trainer.engine().states_of(path))
      s.values.push_back(trainer.state(name, path));
  }
  return s;
}

bool same(State const& a, State const& b) {
  return a.losses == b.losses &&
         std::equal(a.values.begin(), a.values.end(), b.values.begin(), b.values.end(),
                    [](auto const& x, auto const& y) { return same_bits(x, y); });
}

template <class Optimizer, class... Policies>
void check(Options const& options) {
  CAPTURE(Optimizer::name);
  State const whole = trained<Optimizer, Policies..., Zero<0>>(options);
  CHECK(whole.after < 0.98 * whole.before);
  CHECK(same(whole, trained<Optimizer, Policies..., Zero<1>>(options)));
  CHECK(same(whole, trained<Optimizer, Policies..., Zero<2>>(options)));
  CHECK(same(whole, trained<Optimizer, Policies..., Zero<3>>(options)));
}

}  // namespace

TEST_CASE("Sgd") {
  check<Sgd>({.learning_rate = 0.03, .momentum = 0.9});
  check<Sgd>({.learning_rate = 0.03, .momentum = 0.9, .nesterov = true});
}
TEST_CASE("Adam") {
  check<Adam>({.learning_rate = 3e-3});
}
TEST_CASE("Adagrad") {
  check<Adagrad>({.learning_rate = 3e-3});
}
TEST_CASE("Lion, in float and with weights in 16 bits") {
  check<Lion>({.learning_rate = 1e-3});
  check<Lion, Precision<bf16>>({.learning_rate = 1e-3});
}

TEST_CASE("Lamb, in float and with weights in 16 bits; ratios are the same whoever sums") {
  check<Lamb>({.learning_rate = 0.02});
  check<Lamb, Precision<bf16>>({.learning_rate = 0.02});
  check<Lamb, Accumulate<2>, Reduce<Micro>>({.learning_rate = 0.02});
}

TEST_CASE("Muon, in float and with weights in 16 bits; matrices are whole wherever parts end") {
  check<Muon>({.learning_rate = 3e-3});
  check<Muon, Precision<bf16>>({.learning_rate = 3e-3});
  check<Muon, Accumulate<2>, Reduce<Micro>>({.learning_rate = 3e-3, .nesterov = false});
}

TEST_CASE("what the options leave open is the optimizer's own: Lion's beta2, epsilons, momentum") {
  State const lion = trained<Lion>({}), adagrad = trained<Adagrad>({});
  CHECK(same(lion, trained<Lion>({.beta1 = 0.9, .beta2 = 0.99})));
  CHECK(!same(lion, trained<Lion>({.beta2 = 0.999})));
  CHECK(same(adagrad, trained<Adagrad>({.epsilon = 1e-10})));
  CHECK(!same(adagrad, trained<Adagrad>({.epsilon = 1e-8})));
  State const lamb = trained<Lamb>({});
  CHECK(same(lamb, trained<Lamb>({.epsilon = 1e-6})));
  CHECK(!same(lamb, trained<Lamb>({.epsilon = 1e-8})));
  State const muon = trained<Muon>({});
  CHECK(same(muon, trained<Muon>({.momentum = 0.95, .nesterov = true})));
  CHECK(!same(muon, trained<Muon>({.momentum = 0})));
  CHECK(!same(muon, trained<Muon>({.nesterov = false})));
}
