// ranks: 1 2 4
// timeout: 180
/// Running statistics: the same bits in every layout, kept by checkpoints, planned, and no
/// optimizer's.
#include "run/batch_norm.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

template <class... Policies>
using Stack = Trainer<NormedStack, OfPoints<6>, Policies...>;

using Values = std::vector<std::vector<Real>>;
template <class T>
Values values(T& trainer) {
  Values all;
  for (std::string const& path : trainer.paths()) all.push_back(trainer.parameter(path));
  return all;
}
bool same(Values const& a, Values const& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](auto const& x, auto const& y) { return same_bits(x, y); });
}

template <class... Policies>
Values trained(int steps = 5) {
  Stack<Policies...> trainer(world(), {.learning_rate = 1e-2});
  Traffic const& c = trainer.engine().traffic();
  auto const moved = [&] {
    return c.gathered.copied + c.reduced.copied + c.gradients_gathered.copied + c.exchanged.copied;
  };
  Bytes const before = moved();
  for (int i = 0; i < steps; ++i) trainer.step(Points{});
  CHECK(moved() - before == steps * copied(trainer.plan()));
  for (char const* path : {"first.norm.mean", "layers.0.norm.mean", "layers.2.norm.variance"})
    CHECK(!same_bits(trainer.parameter(path), Stack<Policies...>(world()).parameter(path)));
  return values(trainer);
}

template <class... Policies>
void same_in_every_stage() {
  Values const whole = trained<Policies..., Zero<0>>();
  CHECK(same(whole, trained<Policies..., Zero<0>>()));
  CHECK(same(whole, trained<Policies..., Zero<1>>()));
  CHECK(same(whole, trained<Policies..., Zero<2>>()));
  CHECK(same(whole, trained<Policies..., Zero<3>>()));
}
TEST_CASE("every Zero stage has the same statistics, to the bit") {
  same_in_every_stage<AdamW, ClipNorm>();
}
TEST_CASE("every Zero stage has the same statistics: micro-batches") {
  same_in_every_stage<AdamW, Accumulate<3>, Reduce<Micro>>();
  same_in_every_stage<AdamW, Accumulate<3>, Reduce<Step>>();
}
TEST_CASE("every Zero stage has the same statistics: bf16, and an optimizer across tensors") {
  same_in_every_stage<AdamW, Precision<bf16>>();
  same_in_every_stage<AdamW, Precision<bf16>, StochasticRounding>();
  same_in_every_stage<Lamb>();
}

template <class From, class To>
void resumes(std::string const& file) {
  Options const options{.learning_rate = 1e-2};
  From whole(world(), options);
  for (int i = 0; i < 3; ++i) whole.step(Points{});
  whole.save(file);
  for (int i = 0; i < 3; ++i) whole.step(Points{});
  To resumed(world(), options);
  resumed.load(file);
  double const evaluated = resumed.evaluate(Points{}, 11);
  for (int i = 0; i < 3; ++i) resumed.step(Points{});
  CHECK(same(values(whole), values(resumed)));
  CHECK(whole.evaluate(Points{}, 11) == resumed.evaluate(Points{}, 11));
  CHECK(whole.evaluate(Points{}, 11) != evaluated);
}
TEST_CASE("a checkpoint keeps statistics, for any stage") {
  Folder const folder;
  resumes<Stack<AdamW, Zero<3>>, Stack<AdamW, Zero<3>>>(folder / "a");
  resumes<Stack<AdamW, Zero<0>>, Stack<AdamW, Zero<3>>>(folder / "b");
  resumes<Stack<AdamW, Zero<2>, Precision<bf16>>, Stack<AdamW, Zero<1>, Precision<bf16>>>(folder /
                                                                                          "c");
}

TEST_CASE("evaluation reads statistics as they are set, and changes nothing") {
  Stack<AdamW, Zero<3>> trainer(world());
  trainer.step(Points{});
  Values const before = values(trainer);
  double const loss = trainer.evaluate(Points{});
  CHECK(same(before, values(trainer)));
  std::vector<Real> mean = trainer.parameter("layers.1.norm.mean");
  for (Real& x : mean) x += 1;
  trainer.set_parameter("layers.1.norm.mean", mean);
  CHECK(same_bits(trainer.parameter("layers.1.norm.mean"), mean));
  CHECK(trainer.evaluate(Points{}) != loss);
}

TEST_CASE("evaluation reads statistics that 16 bits do not hold") {
  Stack<AdamW, Precision<bf16>> trainer(world());
  std::vector<Real> mean = trainer.parameter("layers.1.norm.mean");
  mean.assign(mean.size(), 1);
  trainer.set_parameter("layers.1.norm.mean", mean);
  double const loss = trainer.evaluate(Points{});
  mean.assign(mean.size(), 1 + 0x1p-12f);
  trainer.set_parameter("layers.1.norm.mean", mean);
  CHECK(trainer.evaluate(Points{}) != loss);
}

TEST_CASE("16 bits stay close to float") {
  Stack<AdamW> whole(world());
  Stack<AdamW, Precision<bf16>> low(world());
  for (int i = 0; i < 20; ++i) whole.step(Points{}), low.step(Points{});
  for (char const* path : {"first.norm.mean", "layers.2.norm.variance"}) {
    std::vector<Real> const a = whole.parameter(path), b = low.parameter(path);
    for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i] - b[i]) <= 0.02);
  }
}

TEST_CASE("a step that overflows leaves statistics alone") {
  Stack<AdamW, Precision<fp16>> trainer(world(), {.fp16 = {.initial_scale_power = 100}});
  Values const before = values(trainer);
  CHECK(trainer.step(Points{}).skipped);
  CHECK(same(before, values(trainer)));
}

TEST_CASE("frozen statistics stay") {
  Stack<AdamW, Zero<2>, Frozen<"layers.*.norm.mean">> trainer(world());
  std::string const frozen = "layers.1.norm.mean", running = "layers.1.norm.variance";
  std::vector<Real> const mean = trainer.parameter(frozen), variance = trainer.parameter(running);
  trainer.step(Points{});
  CHECK(same_bits(mean, trainer.parameter(frozen)));
  CHECK(!same_bits(variance, trainer.parameter(running)));
}

TEST_CASE("statistics have no optimizer state, and the plan says what they are") {
  using T = Stack<AdamW, Zero<3>>;
  static constexpr auto flat_of = [](bool running) {
    Facts const f = T::facts();
    for (int i = 0; i < int(f.flats.size()); ++i)
      if (f.flats[std::size_t(i)].name == "layers" && f.flats[std::size_t(i)].running == running)
        return i;
    return -1;
  };
  static_assert(flat_of(true) >= 0);
  static_assert(T::plan({.data = 4}).states(flat_of(true)) == 0);
  static_assert(T::plan({.data = 4}).states(flat_of(false)) == 2);
  T trainer(world());
  CHECK(contains(render(trainer.plan()), "running statistics"));
  auto const refused = [](std::string const& said) {
    INFO(said);
    CHECK(is_one_sentence(said));
    CHECK(contains(said, "'first.norm.mean' is a running statistic: it has neither gradient nor"));
  };
  refused(refusal([&] { trainer.gradient("first.norm.mean"); }));
  refused(refusal([&] { trainer.set_state("exp_avg", "first.norm.mean", {}); }));
  std::string const unused =
      refusal([&] { T(world(), {.groups = {{.pattern = "*.norm.mean", .rate = 2}}}); });
  CHECK(contains(unused, "'*.norm.mean' matches no trained parameter"));
}

}  // namespace
