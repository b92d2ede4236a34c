// ranks: 1 2 4
// timeout: 120
/// Which elements dropout drops: a function of seed, sample of the run, segment, layer, place and
/// element, in training only; nothing else decides.
#include "small.hpp"

#include <map>

using namespace tessera;
using namespace tessera::test;

namespace {

/// y = x, and the test sees it.
struct Spy {
  static constexpr std::string_view name = "spy";
  static constexpr Shape shape(Shape x) { return x; }
  static constexpr void adjoint(auto& d) { d.to(0, d.dy()); }
};
std::vector<std::vector<bool>> seen;  // which elements are 0, by execution and sequence

}  // namespace

template <>
struct tessera::kernels<Spy, Cpu> {
  static void run(Call const&, View<Real> y, View<Real const> x) {
    std::copy(x.at, x.at + x.count(), y.at);
    std::int64_t const each = x.count() / x.shape[0];
    for (std::int64_t s = 0; s < x.shape[0]; ++s) {
      seen.emplace_back();
      for (std::int64_t i = 0; i < each; ++i) seen.back().push_back(x[s * each + i] == 0);
    }
  }
};

namespace {

static_assert(complete<Spy>);

constexpr int width = 12, tokens = 8, words_known = 17, layers = 2;
constexpr double probability = 0.4;

/// Two dropouts whose masks are seen: what the norm gives them is nowhere 0.
struct Layer {
  LayerNorm<width> norm{.shift = ones};
  Dropout first{probability}, second{probability};
  constexpr Value operator()(Value x) const {
    auto const y = norm(x);
    return apply<Spy>(first(y)) + apply<Spy>(second(y)) + x;
  }
};
template <class L>
struct Around {
  Embedding<words_known, width> embed;
  Repeat<layers, L> blocks;
  LmHead<words_known, width> head;
};
using Model = Around<Layer>;

std::vector<bool> expected(std::uint64_t seed, std::int64_t sample, int layer, int place) {
  Words const w = words(RandomKey(seed, "noise"), sample);
  RandomKey key = RandomKey(0, "blocks").at(std::uint64_t(layer)).at(std::uint64_t(place));
  key.seed = w.at[0] + (std::uint64_t(w.at[1]) << 32);
  std::vector<bool> mask;
  for (std::int64_t e = 0; e < tokens * width; ++e)
    mask.push_back(double(words(key, e / 4).at[e % 4]) * 0x1p-32 < probability);
  return mask;
}

template <class... Policies>
using Trained = Trainer<Model, AdamW, Policies...>;

/// The masks of one step: [micro-batch][layer][place][sequence] is the order of execution.
template <int Sequences, int Micros, class... Policies>
void check_masks(std::uint64_t seed) {
  Trained<Batch<Sequences, tokens>, Accumulate<Micros>, Policies...> trainer(world(),
                                                                             {.seed = seed});
  for (int step = 0; step < 2; ++step) {
    seen.clear();
    trainer.step(Counting{});
    REQUIRE(seen.size() == std::size_t(Micros * layers * 2 * Sequences));
    std::int64_t const share = Sequences * Micros;
    std::int64_t const first = (step * world().size() + world().rank()) * share;
    std::size_t at = 0;
    int wrong = 0;
    for (int micro = 0; micro < Micros; ++micro)
      for (int layer = 0; layer < layers; ++layer)
        for (int place = 0; place < 2; ++place)
          for (int s = 0; s < Sequences; ++s, ++at)
            wrong += seen[at] != expected(seed, first + micro * Sequences + s, layer, place);
    CHECK(wrong == 0);
  }
}

}  // namespace

TEST_CASE("masks follow the sample of the run, however ranks and micro-batches share it") {
  check_masks<4, 1, Zero<0>>(1);
  check_masks<2, 2, Zero<3>>(1);
  check_masks<1, 4, Zero<1>>(1);
  check_masks<2, 2, Zero<2>>(77);
}

TEST_CASE("seeds, samples, layers and places have masks of their own") {
  std::map<std::vector<bool>, int> all;
  for (std::uint64_t seed : {1, 2})
    for (std::int64_t sample = 0; sample < 20; ++sample)
      for (int layer = 0; layer < layers; ++layer)
        for (int place = 0; place < 2; ++place) ++all[expected(seed, sample, layer, place)];
  CHECK(all.size() == 2 * 20 * layers * 2);
}

TEST_CASE("16-bit storage changes no mask, and no layout changes the bits of a run") {
  check_masks<2, 1, Precision<bf16>>(3);
  auto const losses = [](auto trainer) {
    std::vector<double> l;
    for (int i = 0; i < 3; ++i) l.push_back(trainer->step(Counting{}).loss);
    return l;
  };
  using Few = Batch<2, tokens>;
  auto const one = losses(std::make_unique<Trained<Few, Zero<0>>>(world()));
  CHECK(one == losses(std::make_unique<Trained<Few, Zero<3>>>(world())));
  CHECK(one == losses(std::make_unique<Trained<Few, Zero<2>>>(world())));
}

TEST_CASE("evaluation and generation drop nothing, also after training steps") {
  Trained<Batch<2, tokens>> trainer(world());
  double const before = trainer.evaluate(Counting{});
  CHECK(before == trainer.evaluate(Counting{}));
  trainer.step(Counting{});
  seen.clear();
  double const after = trainer.evaluate(Counting{});
  std::vector<std::int32_t> const prompt{3, 4, 5};
  trainer.generate(prompt, 3);
  CHECK(seen.size() > 6);
  for (auto const& mask : seen) CHECK(std::count(mask.begin(), mask.end(), true) == 0);
  // What was looked at did not train: with the same weights, the same loss.
  CHECK(after == trainer.evaluate(Counting{}));
}

TEST_CASE("a resumed run drops what the run that went on drops") {
  Folder const folder;
  std::vector<double> once, again;
  {
    Trained<Batch<2, tokens>, Zero<3>> trainer(world());
    for (int i = 0; i < 2; ++i) trainer.step(Counting{});
    trainer.save(folder / "state");
    for (int i = 0; i < 2; ++i) once.push_back(trainer.step(Counting{}).loss);
  }
  Trained<Batch<2, tokens>, Zero<1>> trainer(world());
  trainer.load(folder / "state");
  for (int i = 0; i < 2; ++i) again.push_back(trainer.step(Counting{}).loss);
  CHECK(once == again);
}

namespace {

struct Never {
  LayerNorm<width> norm;
  Dropout none{0};
  constexpr Value operator()(Value x) const { return none(norm(x)) + x; }
};
struct Plain {
  LayerNorm<width> norm;
  constexpr Value operator()(Value x) const { return norm(x) + x; }
};

}  // namespace

TEST_CASE("probability 0 leaves no trace") {
  using A = Trainer<Around<Never>, AdamW, Batch<2, tokens>>;
  using B = Trainer<Around<Plain>, AdamW, Batch<2, tokens>>;
  CHECK(graph<Around<Never>, 1, A::Settings>.size() == graph<Around<Plain>, 1, B::Settings>.size());
}
