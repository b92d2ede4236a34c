// ranks: 1 2 4
// timeout: 120
/// Precision<bf16> and <fp16>: weights stay exact, layouts give the same bits, and the numbers stay
/// close to those of float.
#include "../run/small.hpp"

#include <tessera/plan/render.hpp>

#include <type_traits>

using namespace tessera;
using namespace tessera::test;

namespace {

using Model = Gpt2<3, 48, 3, 17, 8>;
using Few = Batch<2, 8>;

struct State {
  std::vector<double> losses;
  std::vector<std::vector<Real>> values, gradients;
};

template <class... Policies>
using Trained = Trainer<Model, AdamW, ClipNorm, Policies...>;

Options const options{.learning_rate = 3e-3, .weight_decay = 0.1};

template <class T>
void remember(T& trainer, State& s) {
  for (std::string const& path : trainer.paths()) {
    s.values.push_back(trainer.parameter(path));
    s.values.push_back(trainer.state("exp_avg", path));
    s.values.push_back(trainer.state("exp_avg_sq", path));
    s.gradients.push_back(trainer.gradient(path));
  }
}

template <class... Policies>
State trained(int steps = 4) {
  Trained<Policies...> trainer(world(), options);
  State s;
  for (int i = 0; i < steps; ++i) s.losses.push_back(trainer.step(Counting{}).loss);
  remember(trainer, s);

  Plan const& p = trainer.plan();
  Traffic const& c = trainer.engine().traffic();
  Bytes crossed = 0;
  for (Counter const& n : {c.gathered, c.reduced, c.gradients_gathered, c.exchanged})
    crossed += n.payload;
  CHECK(crossed == steps * payload(p));
  return s;
}

void check_same(State const& a, State const& b) {
  CHECK(a.losses == b.losses);
  REQUIRE(a.values.size() == b.values.size());
  int different = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i)
    different += !same_bits(a.values[i], b.values[i]);
  CHECK(different == 0);
}

/// Half a unit in the last place of 1.
template <class Low>
constexpr double rounding = std::is_same_v<Low, bf16> ? 1.0 / 256 : 1.0 / 2048;

/// Relative L2 distance of two tensors.
double apart(std::vector<Real> const& a, std::vector<Real> const& b) {
  double difference = 0, size = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    difference += std::pow(double(a[k]) - double(b[k]), 2);
    size += std::pow(double(a[k]), 2);
  }
  return std::sqrt(difference / size);
}

}  // namespace

TEST_CASE_TEMPLATE("every Zero stage gives the same bits, in one micro-batch and in three", Low,
                   bf16, fp16) {
  State const one = trained<Precision<Low>, Few, Zero<0>>();
  check_same(one, trained<Precision<Low>, Few, Zero<0>>());
  check_same(one, trained<Precision<Low>, Few, Zero<1>>());
  check_same(one, trained<Precision<Low>, Few, Zero<2>>());
  check_same(one, trained<Precision<Low>, Few, Zero<3>>());
  State const three = trained<Precision<Low>, Few, Zero<1>, Accumulate<3>, Reduce<Micro>>();
  check_same(three, trained<Precision<Low>, Few, Zero<3>, Accumulate<3>>());
}

TEST_CASE_TEMPLATE("weights are exact: first values are float's, and what is set is what is read",
                   Low, bf16, fp16) {
  Trained<Precision<Low>, Few, Zero<3>> low(world(), options);
  Trained<Precision<float>, Few, Zero<3>> full(world(), options);
  for (std::string const& path : low.paths())
    CHECK(same_bits(low.parameter(path), full.parameter(path)));
  std::string const path = "blocks.1.mlp.up.weight";
  std::vector<Real> odd = low.parameter(path);
  for (std::size_t i = 0; i < odd.size(); ++i)
    odd[i] = Real(std::ldexp(1.0 + double(i % 97) / 96.999, int(i % 40) - 20) * (i % 3 ? 1 : -1));
  low.set_parameter(path, odd);
  CHECK(same_bits(low.parameter(path), odd));
}

TEST_CASE_TEMPLATE("frozen weights are 16 bits, with nothing beside them", Low, bf16, fp16) {
  std::string const path = "blocks.1.mlp.up.weight";
  Trained<Precision<Low>, Few, Zero<3>, Frozen<"blocks.*.mlp.up.weight">> low(world(), options);
  Trained<Precision<float>, Few, Zero<3>> full(world(), options);
  std::vector<Real> rounded = full.parameter(path);
  for (Real& x : rounded)
    if constexpr (std::is_same_v<Low, bf16>)
      x = kernel::Split::high(x);  // as all of bf16's weights: a tie away from zero
    else
      x = fp16(x);
  CHECK(same_bits(low.parameter(path), rounded));
  low.step(Counting{});
  CHECK(same_bits(low.parameter(path), rounded));
}

TEST_CASE_TEMPLATE("losses and gradients are close to float's", Low, bf16, fp16) {
  State const low = trained<Precision<Low>, Few, Zero<3>>(1),
              full = trained<Precision<float>, Few, Zero<3>>(1);
  CHECK(std::abs(low.losses[0] - full.losses[0]) < 0.5 * rounding<Low>);
  CHECK(low.losses[0] != full.losses[0]);  // it is another type indeed
  std::vector<std::string> paths;
  {
    Trained<Precision<float>, Few, Zero<3>> any(world(), options);
    paths = any.paths();
  }
  for (std::size_t i = 0; i < paths.size(); ++i) {
    // A key's bias has no gradient but noise.
    if (paths[i].ends_with("qkv.bias")) continue;
    CAPTURE(paths[i]);
    // 4 * 1.03^(L + 1 - l) times the rounding, with three layers: Megatron's bound.
    CHECK(apart(full.gradients[i], low.gradients[i]) < 4 * 1.1255 * rounding<Low>);
  }
  // While the loss falls as fast as it ever will, no step is farther apart than a run's end may be.
  State const long_low = trained<Precision<Low>, Few, Zero<3>>(20),
              long_full = trained<Precision<float>, Few, Zero<3>>(20);
  CHECK(long_full.losses.back() < 0.95 * long_full.losses.front());
  for (std::size_t i = 0; i < long_full.losses.size(); ++i)
    CHECK(std::abs(long_low.losses[i] - long_full.losses[i]) < 0.02);
}

TEST_CASE_TEMPLATE("a run goes on bitwise from its file", Low, bf16, fp16) {
  Folder const folder;
  State once, again;
  {
    Trained<Precision<Low>, Few, Zero<3>> trainer(world(), options);
    for (int i = 0; i < 3; ++i) trainer.step(Counting{});
    trainer.save(folder / "state");
    for (int i = 0; i < 2; ++i) trainer.step(Counting{});
    remember(trainer, once);
  }
  Trained<Precision<Low>, Few, Zero<1>> trainer(world(), options);
  trainer.load(folder / "state");
  for (int i = 0; i < 2; ++i) trainer.step(Counting{});
  remember(trainer, again);
  check_same(once, again);
}

TEST_CASE("every type reads what another one wrote") {
  Folder const folder;
  Trained<Precision<float>, Few, Zero<0>> full(world(), options);
  Trained<Precision<bf16>, Few, Zero<1>> brain(world(), options);
  Trained<Precision<fp16>, Few, Zero<3>> half(world(), options);
  auto const crosses = [&](auto& from, auto& to) {
    from.step(Counting{});
    from.save(folder / "state");
    to.load(folder / "state");
    State before, after;
    remember(from, before), remember(to, after);
    REQUIRE(before.values.size() == after.values.size());
    for (std::size_t i = 0; i < before.values.size(); ++i)
      CHECK(same_bits(before.values[i], after.values[i]));
  };
  crosses(half, full), crosses(full, brain), crosses(brain, half);
  crosses(half, brain), crosses(brain, full), crosses(full, half);
  CHECK(half.steps() == 6);
}

TEST_CASE_TEMPLATE("memory and gathers take half for weights; all of it is planned", Stored, bf16,
                   fp16) {
  using Low = Trained<Precision<Stored>, Few, Zero<3>>;
  using Full = Trained<Precision<float>, Few, Zero<3>>;
  Mesh const mesh{.data = 4, .domain = 1};
  Plan const low = Low::plan(mesh), full = Full::plan(mesh);
  CHECK(2 * payload(low, Do::gather) == payload(full, Do::gather));
  CHECK(payload(low, Do::reduce) == payload(full, Do::reduce));
  auto const bytes = [](Plan const& p, Family f) { return place(p).of(f).bytes; };
  CHECK(2 * bytes(low, Family::weights) == bytes(full, Family::weights));
  // Two moments of 4 bytes, and the 2 that a bf16 leaves out, or a float beside an fp16.
  Bytes const beside = std::is_same_v<Stored, bf16> ? 2 : 4;
  CHECK(8 * bytes(low, Family::optimizer) == (8 + beside) * bytes(full, Family::optimizer));
  CHECK(render(low).find(beside == 2 ? "Precision<bf16>, " : "Precision<fp16>, ") !=
        std::string::npos);
  CHECK((render(low).find("products convert fp16 to float") != std::string::npos) == (beside == 4));
  CHECK(bytes(low, Family::forward) < bytes(full, Family::forward));
  CHECK(!verify(low));

  Low trainer(world(), options);
  trainer.step(Counting{});
  CHECK(trainer.engine().measured_memory() <= peak(trainer.plan()) + 64_MiB);
}
