// ranks: 1 2 4
// timeout: 240
/// Layouts at one data degree give the same bits: weights, gradients and optimizer states.
#include <tessera/tessera.hpp>

#include "ranks.hpp"

#include <cstring>

using namespace tessera;

namespace {

/// Samples made of their index, some targets ignored.
struct Made {
  std::int64_t samples(int) const { return 1000; }
  void sample(std::int64_t index, std::span<std::int32_t> in, std::span<std::int32_t> out) const {
    RandomKey const key(7, "made");
    for (std::size_t k = 0; k <= in.size(); ++k) {
      auto const t = std::int32_t(uniform(key, index * 1000 + std::int64_t(k)) * 20);
      if (k < in.size()) in[k] = t;
      if (k > 0) out[k - 1] = t == 3 ? ignored : t;
    }
  }
};

using Model = Gpt2<3, 48, 3, 41, 24>;

struct State {
  std::vector<double> losses, norms;
  std::vector<std::vector<Real>> values;
};

template <class... Policies>
State trained(int steps = 4) {
  Trainer<Model, AdamW, ClipNorm, Policies...> trainer(
      test::world(), {.learning_rate = 3e-3, .weight_decay = 0.1, .clip_norm = 0.7});
  State s;
  for (int i = 0; i < steps; ++i) {
    Report const r = trainer.step(Made{});
    s.losses.push_back(r.loss);
    s.norms.push_back(r.gradient_norm);
  }
  for (std::string const& path : trainer.paths()) {
    s.values.push_back(trainer.parameter(path));
    s.values.push_back(trainer.gradient(path));
    s.values.push_back(trainer.state("exp_avg", path));
    s.values.push_back(trainer.state("exp_avg_sq", path));
  }

  // What the plan predicts is what was moved.
  Plan const& p = trainer.plan();
  Traffic const& c = trainer.engine().traffic();
  Bytes moved = 0, crossed = 0;
  for (Counter const& n : {c.gathered, c.reduced, c.gradients_gathered, c.exchanged})
    moved += n.copied, crossed += n.payload;
  CHECK(moved == steps * copied(p));
  CHECK(crossed == steps * payload(p));
  CHECK(c.reduced.copied == steps * copied(p, Do::reduce));
  CHECK(c.gradients_gathered.copied == steps * copied(p, Do::gather_gradient));
  return s;
}

void same_bits(State const& a, State const& b) {
  CHECK(a.losses == b.losses);
  CHECK(a.norms == b.norms);
  REQUIRE(a.values.size() == b.values.size());
  std::int64_t different = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    REQUIRE(a.values[i].size() == b.values[i].size());
    different +=
        std::memcmp(a.values[i].data(), b.values[i].data(), a.values[i].size() * sizeof(Real)) != 0;
  }
  CHECK(different == 0);
}

/// Relative L2 distance per tensor, the worst.
double apart(State const& a, State const& b) {
  double worst = 0;
  for (std::size_t i = 1; i < a.values.size(); i += 4) {  // gradients
    double difference = 0, size = 0;
    for (std::size_t k = 0; k < a.values[i].size(); ++k) {
      difference += std::pow(double(a.values[i][k]) - double(b.values[i][k]), 2);
      size += std::pow(double(a.values[i][k]), 2);
    }
    double const d = std::sqrt(difference / size);
    if (!(d <= worst)) worst = d;
  }
  return worst;
}

using Few = Batch<2, 24>;

TEST_CASE("one micro-batch: every Zero stage in every Reduce mode, and the same run again") {
  State const reference = trained<Few, Zero<0>>();
  same_bits(reference, trained<Few, Zero<0>>());
  same_bits(reference, trained<Few, Zero<1>>());
  same_bits(reference, trained<Few, Zero<2>>());
  same_bits(reference, trained<Few, Zero<3>>());
  same_bits(reference, trained<Few, Zero<0>, Reduce<Micro>>());
  same_bits(reference, trained<Few, Zero<3>, Reduce<Step>>());
}

TEST_CASE("three micro-batches: every Zero stage, within each Reduce mode") {
  State const step = trained<Few, Accumulate<3>, Zero<0>, Reduce<Step>>();
  same_bits(step, trained<Few, Accumulate<3>, Zero<1>, Reduce<Step>>());
  same_bits(step, trained<Few, Accumulate<3>, Zero<3>, Reduce<Step>>());
  State const micro = trained<Few, Accumulate<3>, Zero<0>, Reduce<Micro>>();
  same_bits(micro, trained<Few, Accumulate<3>, Zero<2>, Reduce<Micro>>());
  same_bits(micro, trained<Few, Accumulate<3>, Zero<3>, Reduce<Micro>>());
}

TEST_CASE("splits of one global batch: close, as the order of sums differs") {
  State const whole = trained<Batch<4, 24>, Zero<3>>(1),
              split = trained<Few, Accumulate<2>, Zero<3>>(1);
  CHECK(std::abs(whole.losses[0] - split.losses[0]) <= 1e-6);
  // A key's bias has no gradient: what is there is noise, so single tensors are not compared to it.
  State a = whole, b = split;
  for (State* s : {&a, &b})
    for (auto& v : s->values)
      if (v.size() == 3 * 48) std::fill(v.begin() + 48, v.begin() + 96, Real(0));
  CHECK(apart(a, b) <= 1e-6);
  State const ten = trained<Batch<4, 24>, Zero<3>>(10),
              split_ten = trained<Few, Accumulate<2>, Zero<3>>(10);
  for (std::size_t i = 0; i < ten.losses.size(); ++i)
    CHECK(std::abs(ten.losses[i] - split_ten.losses[i]) <= 1e-5);
}

TEST_CASE("GlobalBatch is Accumulate, derived at launch") {
  switch (test::world().size()) {
    case 1: return same_bits(trained<Few, GlobalBatch<4>>(1), trained<Few, Accumulate<2>>(1));
    case 2: return same_bits(trained<Few, GlobalBatch<8>>(1), trained<Few, Accumulate<2>>(1));
    default: return same_bits(trained<Few, GlobalBatch<16>>(1), trained<Few, Accumulate<2>>(1));
  }
}

TEST_CASE("predicted memory is used memory") {
  Trainer<Model, AdamW, Few, Zero<3>> trainer(test::world());
  trainer.step(Made{});
  CHECK(trainer.engine().measured_memory() <= peak(trainer.plan()) + 64_MiB);
}

}  // namespace
