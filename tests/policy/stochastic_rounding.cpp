// ranks: 1 2 4
// timeout: 120
/// StochasticRounding: two bytes a weight and two a state, the same bits under every layout, and a
/// loss that falls as float's does where the nearest bf16 would stand still.
#include "../run/small.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

template <class Optimizer, class... Policies>
using Trained = Trainer<Small, Batch<2, 8>, Optimizer, Policies...>;
template <class Optimizer, class... Policies>
using Rounded = Trained<Optimizer, Precision<bf16>, StochasticRounding, Policies...>;

struct State {
  std::vector<double> losses;
  std::vector<std::vector<Real>> values;
};

template <class T>
State state_of(T& trainer) {
  State s;
  for (std::string const& path : trainer.paths()) {
    s.values.push_back(trainer.parameter(path));
    if (!trainer.engine().parameters().find(path).trainable) continue;
    for (std::string_view const name : trainer.engine().states_of(path))
      s.values.push_back(trainer.state(name, path));
  }
  return s;
}
template <class T>
State trained(Options const& options, int steps = 4) {
  T trainer(world(), options);
  std::vector<double> losses;
  for (int i = 0; i < steps; ++i) losses.push_back(trainer.step(Counting{}).loss);
  State s = state_of(trainer);
  s.losses = losses;
  return s;
}
bool same(State const& a, State const& b) {
  return a.losses == b.losses &&
         std::equal(a.values.begin(), a.values.end(), b.values.begin(), b.values.end(),
                    [](auto const& x, auto const& y) { return same_bits(x, y); });
}

Options const options{.learning_rate = 1e-3,
                      .weight_decay = 0.1,
                      .groups = {{.pattern = "blocks.1.*.weight", .rate = 0.5},
                                 {.pattern = "*.token", .weight_decay = 0.3}}};

template <class Optimizer>
void check_stages() {
  CAPTURE(Optimizer::name);
  State const one = trained<Rounded<Optimizer, ClipNorm, Zero<0>>>(options);
  for (auto const& v : one.values)
    for (Real const x : v) REQUIRE(float(bf16(x)) == x);
  CHECK(same(one, trained<Rounded<Optimizer, ClipNorm, Zero<0>>>(options)));
  CHECK(same(one, trained<Rounded<Optimizer, ClipNorm, Zero<1>>>(options)));
  CHECK(same(one, trained<Rounded<Optimizer, ClipNorm, Zero<2>>>(options)));
  CHECK(same(one, trained<Rounded<Optimizer, ClipNorm, Zero<3>>>(options)));
}

/// AdamW in bf16 as it would be without the policy: what a step has made becomes the nearest.
struct NearestAdamW : AdamW {
  static constexpr std::string_view name = "NearestAdamW";
  static constexpr bool rounds_stochastically = false;
  static void step(Team auto const& team, StepRange const& r, StepValues const& v) {
    AdamW::step(team, r, v);
    with_weights(r, [&](auto w) {
      for (std::int64_t i = 0; i < r.elements; ++i) {
        w.set(i, float(bf16(w.get(i))));
        for (int k : {0, 1}) r.states[std::size_t(k)][i] = float(bf16(r.states[std::size_t(k)][i]));
      }
    });
  }
};

/// Mean loss over all samples, before training and after.
template <class T>
std::pair<double, double> losses(Options const& o, int steps) {
  T trainer(world(), o);
  double const before = trainer.evaluate(Counting{});
  for (int i = 0; i < steps; ++i) trainer.step(Counting{});
  return {before, trainer.evaluate(Counting{})};
}

}  // namespace

TEST_CASE("every Zero stage gives the same bits, with parameter groups") {
  check_stages<AdamW>();
  check_stages<Adam>();
  check_stages<Sgd>();
  check_stages<Adagrad>();
  check_stages<Lion>();
}

TEST_CASE("so it does with several micro-batches and frozen weights") {
  using Whole = Rounded<AdamW, Accumulate<2>, Reduce<Micro>, Frozen<"*.norm1.*">, Zero<0>>;
  using Sharded = Rounded<AdamW, Accumulate<2>, Frozen<"*.norm1.*">, Zero<3>>;
  CHECK(same(trained<Whole>(options), trained<Sharded>(options)));
}

TEST_CASE("what a step draws is a function of seed, step, path and element") {
  Rounded<AdamW, Zero<3>> trainer(world(), options);
  for (int step = 1; step <= 3; ++step) {
    std::vector<std::vector<float>> w, m, v;
    for (std::string const& path : trainer.paths()) {
      w.push_back(trainer.parameter(path));
      m.push_back(trainer.state("exp_avg", path)), v.push_back(trainer.state("exp_avg_sq", path));
    }
    trainer.step(Counting{});
    for (std::size_t k = 0; k < w.size(); ++k) {
      std::string const& path = trainer.paths()[k];
      CAPTURE(path);
      auto const g = trainer.gradient(path);
      auto const in = [&](std::string_view pattern) { return matches(pattern, path); };
      bool const matrix = trainer.shape(path).rank > 1;
      CpuTeam{}.run(
          kernel::AdamW<float>{.w = w[k].data(),
                               .m = m[k].data(),
                               .v = v[k].data(),
                               .g = g.data(),
                               .n = std::int64_t(g.size()),
                               .lr = options.learning_rate * (in("blocks.1.*.weight") ? 0.5 : 1),
                               .beta1 = 0.9,
                               .beta2 = 0.999,
                               .eps = 1e-8,
                               .decay = in("*.token") ? 0.3
                                        : matrix      ? options.weight_decay
                                                      : 0,
                               .correction1 = 1 / (1 - std::pow(0.9, step)),
                               .correction2 = 1 / (1 - std::pow(0.999, step))});
      RandomKey const key = RandomKey(options.seed, path).at(std::uint64_t(step));
      auto const is_rounded = [&](std::vector<float> const& exact, std::vector<Real> const& found,
                                  int number) {
        int wrong = 0;
        for (std::size_t i = 0; i < exact.size(); ++i)
          wrong += float(kernel::round_stochastically(
                       exact[i], kernel::Noise{key}.at(std::int64_t(i)).of(number))) != found[i];
        return wrong == 0;
      };
      CHECK(is_rounded(w[k], trainer.parameter(path), 0));
      CHECK(is_rounded(m[k], trainer.state("exp_avg", path), 1));
      CHECK(is_rounded(v[k], trainer.state("exp_avg_sq", path), 2));
    }
  }
}

TEST_CASE("steps below half a unit in the last place: the loss falls as in float, not so nearest") {
  // At most a step of 2e-5 and weights of deviation 0.02: those above 1/128 have neighbours that
  // are 6e-5 apart and farther.
  Options const small{.learning_rate = 2e-5, .weight_decay = 0};
  int const steps = 600;
  auto const [start, exact] = losses<Trained<AdamW, Precision<bf16>, Zero<3>>>(small, steps);
  auto const [low, rounded] = losses<Rounded<AdamW, Zero<3>>>(small, steps);
  double const nearest =
      losses<Trained<NearestAdamW, Precision<bf16>, Zero<3>>>(small, steps).second;
  MESSAGE("from " << start << ", " << low << ": " << exact << " exact, " << rounded
                  << " stochastic, " << nearest << " nearest");
  CHECK(exact < 0.95 * start);
  CHECK(std::abs(rounded - exact) < 0.05 * (start - exact));
  CHECK(start - nearest < 0.5 * (start - exact));
}

TEST_CASE("a run goes on bitwise from its file, of two bytes a value, in another stage") {
  Folder const folder;
  State once, again;
  Bytes values = 0;
  {
    Rounded<AdamW, Zero<3>> trainer(world(), options);
    for (int i = 0; i < 3; ++i) trainer.step(Counting{});
    trainer.save(folder / "state");
    for (int i = 0; i < 2; ++i) trainer.step(Counting{});
    once = state_of(trainer);
    for (std::string const& path : trainer.paths()) values += 3 * trainer.shape(path).count();
  }
  Rounded<AdamW, Zero<1>> trainer(world(), options);
  trainer.load(folder / "state");
  for (int i = 0; i < 2; ++i) trainer.step(Counting{});
  again = state_of(trainer);
  CHECK(same(once, again));
  std::string const file = bytes_of_file(folder / "state");
  CHECK(Bytes(file.size() - file.find("\nend\n") - 5) == 2 * values);
}

TEST_CASE("it reads what floats wrote, as the nearest, and floats read what it wrote") {
  Folder const folder;
  Trained<AdamW, Zero<0>> full(world(), options);
  Rounded<AdamW, Zero<3>> low(world(), options);
  full.step(Counting{});
  full.save(folder / "full");
  low.load(folder / "full");
  for (std::string const& path : low.paths()) {
    auto const exact = full.parameter(path), found = low.parameter(path);
    int far = 0;
    for (std::size_t i = 0; i < exact.size(); ++i)
      far += !(std::abs(found[i] - exact[i]) <= 0x1p-8f * std::abs(exact[i]));
    CHECK(far == 0);
  }
  low.step(Counting{});
  low.save(folder / "low");
  full.load(folder / "low");
  CHECK(same(state_of(low), state_of(full)));
  CHECK(full.steps() == 2);
  put_file(folder / "cut", bytes_of_file(folder / "low").substr(0, 4000));
  CHECK(contains(refusal([&] { full.load(folder / "cut"); }), "is cut short"));
}

TEST_CASE("a weight takes two bytes and a state two; all of it is planned") {
  using Low = Rounded<AdamW, Zero<3>>;
  using Master = Trained<AdamW, Precision<bf16>, Zero<3>>;
  Mesh const mesh{.data = 4, .domain = 1};
  Plan const low = Low::plan(mesh), master = Master::plan(mesh);
  auto const bytes = [](Plan const& p, Family f) { return place(p).of(f).bytes; };
  CHECK(bytes(low, Family::weights) == bytes(master, Family::weights));
  // Two moments of 2 bytes; with masters of 4, and 2 for what a weight leaves out.
  CHECK(10 * bytes(low, Family::optimizer) == 4 * bytes(master, Family::optimizer));
  CHECK(bytes(low, Family::optimizer) == 2 * bytes(low, Family::weights));
  CHECK(payload(low) == payload(master));
  CHECK(peak(master) - peak(low) ==
        bytes(master, Family::optimizer) - bytes(low, Family::optimizer));
  std::string const text = render(low);
  CHECK(contains(text, "Precision<bf16>, StochasticRounding, Zero<3>"));
  CHECK(contains(text, "the optimizer's states as bf16"));
  CHECK(!contains(text, "exact"));
  CHECK(!verify(low));
}
