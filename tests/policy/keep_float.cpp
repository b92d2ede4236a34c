// ranks: 1 2 4
// timeout: 120
/// KeepFloat: what it names is stored and computed in float, the rest in 16 bits; layouts give the
/// same bits, and all of it is planned.
#include "../run/small.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

template <class... Policies>
using Trained = Trainer<Small, Batch<2, 8>, ClipNorm, Policies...>;
template <class... Policies>
using Kept = Trained<KeepFloat<"head.*">, KeepFloat<"*.mlp.up.*">, Policies...>;
Options const options{.learning_rate = 3e-3, .weight_decay = 0.1};

struct State {
  std::vector<double> losses;
  std::vector<std::vector<Real>> values;
};
template <class T>
State state_of(T& trainer) {
  State s;
  for (std::string const& path : trainer.paths()) {
    s.values.push_back(trainer.parameter(path));
    for (std::string_view const name : trainer.engine().states_of(path))
      s.values.push_back(trainer.state(name, path));
  }
  return s;
}
template <class T>
State trained(int steps = 4) {
  T trainer(world(), options);
  std::vector<double> losses;
  for (int i = 0; i < steps; ++i) losses.push_back(trainer.step(Counting{}).loss);
  Plan const& p = trainer.plan();
  Traffic const& c = trainer.engine().traffic();
  Bytes crossed = 0;
  for (Counter const& n : {c.gathered, c.reduced, c.gradients_gathered, c.exchanged})
    crossed += n.payload;
  CHECK(crossed == steps * payload(p));
  State s = state_of(trainer);
  s.losses = losses;
  return s;
}
bool same(State const& a, State const& b) {
  return a.losses == b.losses &&
         std::equal(a.values.begin(), a.values.end(), b.values.begin(), b.values.end(),
                    [](auto const& x, auto const& y) { return same_bits(x, y); });
}

template <class... Policies>
void check_stages() {
  State const one = trained<Kept<Policies..., Zero<0>>>();
  CHECK(same(one, trained<Kept<Policies..., Zero<0>>>()));
  CHECK(same(one, trained<Kept<Policies..., Zero<1>>>()));
  CHECK(same(one, trained<Kept<Policies..., Zero<2>>>()));
  CHECK(same(one, trained<Kept<Policies..., Zero<3>>>()));
}

/// Losses of all samples with an element of a parameter at 1 and at 1 + 2^-12, between two bf16.
template <class T>
bool sees_a_small_change(std::string const& path) {
  T trainer(world(), options);
  std::vector<Real> values = trainer.parameter(path);
  values[3] = 1;
  trainer.set_parameter(path, values);
  double const before = trainer.evaluate(Counting{});
  values[3] = 1 + 0x1p-12f;
  trainer.set_parameter(path, values);
  return trainer.evaluate(Counting{}) != before;
}

// What the trace says. Parameters of a block: 8 is mlp.up.weight, 10 mlp.down.weight.
using Low = Kept<AdamW, Precision<bf16>>::Settings;
template <int I, class S>
constexpr bool types_agree() {
  auto const& g = graph<Small, I, S>;
  for (Node const& n : g) {
    if (n.role == Role::parameter &&
        (n.dtype == DType::real) != parameters<Small, I, S>[std::size_t(n.parameter)].full)
      return false;
    if (n.grad_of >= 0 && n.dtype != DType::real) return false;
    for (int k = 0; k < operands && n.op; ++k)
      if (int const j = n.in[std::size_t(k)]; j >= 0) {
        DType const has = g[std::size_t(j)].dtype;
        if (has != DType::int32 && has != (n.op->traits.low_in >> k & 1u ? n.low : DType::real))
          return false;
      }
  }
  return true;
}
static_assert(types_agree<0, Low>() && types_agree<1, Low>() && types_agree<2, Low>());

/// Nodes that read parameter p or make (a part of) its gradient, and those of them in 16 bits.
template <int I, class S>
constexpr std::pair<int, int> uses(int p) {
  auto const& g = graph<Small, I, S>;
  auto const is = [&](int j) {
    return j >= 0 && g[std::size_t(j)].role == Role::parameter && g[std::size_t(j)].parameter == p;
  };
  int all = 0, low = 0;
  for (Node const& n : g) {
    bool any = is(n.grad_of);
    for (int const j : n.in) any = any || is(j);
    all += any, low += any && n.low != DType::real;
  }
  return {all, low};
}
static_assert(uses<1, Low>(8) == std::pair(3, 0));   // forward, and both gradients
static_assert(uses<1, Low>(10) == std::pair(3, 3));  // as many, all in 16 bits
/// Nothing in the head is stored in 16 bits.
static_assert([] {
  for (Node const& n : graph<Small, 2, Low>)
    if (n.dtype == DType::bf16) return false;
  return true;
}());
/// Without Precision in 16 bits the policy changes nothing.
static_assert(Kept<AdamW>::facts().flats.size() == Trained<AdamW>::facts().flats.size());

}  // namespace

TEST_CASE("where everything is kept, it is Precision<float>, bit for bit, and writes the same") {
  using All = Trained<AdamW, Precision<bf16>, KeepFloat<"*">, Zero<3>>;
  using Float = Trained<AdamW, Zero<3>>;
  CHECK(same(trained<All>(), trained<Float>()));
  All all(world(), options);
  Float real(world(), options);
  std::vector<std::int32_t> const prompt{1, 2, 3};
  CHECK(all.generate(prompt, 4) == real.generate(prompt, 4));
  Kept<AdamW, Precision<bf16>, Zero<3>> some(world(), options);
  CHECK(some.generate(prompt, 4).size() == 7);
}

TEST_CASE("every Zero stage gives the same bits") {
  check_stages<AdamW, Precision<bf16>>();
  check_stages<AdamW, Precision<fp16>>();
  check_stages<AdamW, Precision<bf16>, StochasticRounding>();
  check_stages<Muon, Precision<bf16>>();
  CHECK(same(trained<Kept<AdamW, Precision<bf16>, Accumulate<2>, Reduce<Micro>, Zero<0>>>(),
             trained<Kept<AdamW, Precision<bf16>, Accumulate<2>, Zero<3>>>()));
  using Frozen0 = Kept<AdamW, Precision<bf16>, Frozen<"*.up.*">, Zero<0>>;
  using Frozen3 = Kept<AdamW, Precision<bf16>, Frozen<"*.up.*">, Zero<3>>;
  Frozen0 whole(world(), options);
  Frozen3 sharded(world(), options);
  for (int i = 0; i < 3; ++i) CHECK(whole.step(Counting{}).loss == sharded.step(Counting{}).loss);
  for (std::string const& path : whole.paths())
    CHECK(same_bits(whole.parameter(path), sharded.parameter(path)));
}

TEST_CASE("a change that 16 bits cannot hold is seen in what is kept only") {
  using Some = Kept<AdamW, Precision<bf16>, Zero<3>>;
  using None = Trained<AdamW, Precision<bf16>, Zero<3>>;
  for (std::string const path :
       {"head.norm.gain", "embed.token", "blocks.1.mlp.up.weight", "blocks.0.mlp.down.weight"}) {
    CAPTURE(path);
    CHECK(sees_a_small_change<Some>(path) == (path != "blocks.0.mlp.down.weight"));
    CHECK(!sees_a_small_change<None>(path));
  }
}

TEST_CASE("a kept weight takes four bytes with nothing beside it; all of it is planned") {
  using All = Kept<AdamW, Precision<bf16>, Zero<3>>;
  using Rounded = Kept<AdamW, Precision<bf16>, StochasticRounding, Zero<3>>;
  Mesh const mesh{.data = 4, .domain = 1};
  Plan const some = All::plan(mesh), rounded = Rounded::plan(mesh);
  auto const bytes = [](Plan const& p, Family f) { return place(p).of(f).bytes; };
  Bytes kept = 0, low = 0;  // elements of a rank, padded
  for (int f = 0; f < some.flats(); ++f) {
    FlatInfo const& flat = some.facts.flats[std::size_t(f)];
    bool const named = flat.name == "head" || flat.name == "token";
    if (flat.name != "blocks") CHECK(flat.full == named);
    (flat.full ? kept : low) += flat.layers * padded(flat.elements, 4) / 4;
  }
  // The two norms, qkv, out and down of width 32 are low in a block; up, 32 x 128 and 128, is not.
  CHECK(kept ==
        2 * padded(32 * 128 + 128, 4) / 4 + padded(17 * 32 + 32, 4) / 4 + padded(2 * 64, 4) / 4);
  CHECK(bytes(some, Family::weights) == 2 * low + 4 * kept);
  CHECK(bytes(some, Family::optimizer) == 10 * low + 8 * kept);
  CHECK(bytes(rounded, Family::weights) == 2 * low + 4 * kept);
  CHECK(bytes(rounded, Family::optimizer) == 4 * low + 8 * kept);
  std::string const text = render(some);
  CHECK(contains(text, "parameters in token, blocks, head"));
  CHECK(contains(text, "one turn early; float\n"));
  CHECK(!verify(some));
}

TEST_CASE("a run goes on bitwise from its file, in another stage; exact weights go in and out") {
  Folder const folder;
  auto const resumes = [&]<class... Policies>(std::type_identity<void (*)(Policies...)>) {
    State once;
    {
      Kept<AdamW, Precision<bf16>, Policies..., Zero<3>> trainer(world(), options);
      for (int i = 0; i < 3; ++i) trainer.step(Counting{});
      trainer.save(folder / "state");
      for (int i = 0; i < 2; ++i) trainer.step(Counting{});
      once = state_of(trainer);
    }
    Kept<AdamW, Precision<bf16>, Policies..., Zero<1>> trainer(world(), options);
    trainer.load(folder / "state");
    for (int i = 0; i < 2; ++i) trainer.step(Counting{});
    CHECK(same(once, state_of(trainer)));
  };
  resumes(std::type_identity<void (*)()>{});
  resumes(std::type_identity<void (*)(StochasticRounding)>{});
  Trained<AdamW, Zero<3>> full(world(), options);
  Kept<AdamW, Precision<bf16>, Zero<2>> some(world(), options);
  full.step(Counting{});
  full.save(folder / "full");
  some.load(folder / "full");
  CHECK(same(state_of(full), state_of(some)));
}
