// manual
/// What Strict promises. strict.sh runs this on 1 rank, which leaves its results in the folder
/// STRICT_RESULTS, then on more, which must find the same bits.
#include <tessera/tessera.hpp>

#include "../run/small.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

using namespace tessera;
using namespace tessera::test;

namespace {

using Model = Gpt2<3, 48, 3, 41, 24>;

/// Samples made of their index; some targets are ignored, or none.
struct Made {
  std::int64_t begin = 0;
  bool some_ignored = true;
  std::int64_t samples(int) const { return 1000; }
  void sample(std::int64_t index, std::span<std::int32_t> in, std::span<std::int32_t> out) const {
    RandomKey const key(7, "made");
    for (std::size_t k = 0; k <= in.size(); ++k) {
      auto const t = std::int32_t(uniform(key, (begin + index) * 1000 + std::int64_t(k)) * 20);
      if (k < in.size()) in[k] = t;
      if (k > 0) out[k - 1] = t == 3 && some_ignored ? ignored : t;
    }
  }
};

/// Losses, norms, weights, gradients and states of a few steps, one after the other.
template <class... Policies>
std::vector<double> trained() {
  Trainer<Model, ClipNorm, Policies...> trainer(
      world(), {.learning_rate = 3e-3, .weight_decay = 0.1, .clip_norm = 0.7});
  std::vector<double> all;
  for (int i = 0; i < 3; ++i) {
    Report const r = trainer.step(Made{});
    all.push_back(r.loss), all.push_back(r.gradient_norm);
  }
  all.push_back(trainer.evaluate(Made{}, 16));
  auto const add = [&](std::vector<Real> const& x) { all.insert(all.end(), x.begin(), x.end()); };
  for (std::string const& path : trainer.paths()) {
    add(trainer.parameter(path));
    add(trainer.gradient(path));
    for (std::string_view const state : trainer.engine().states_of(path))
      add(trainer.state(state, path));
  }
  return all;
}

std::string file(std::string const& name) {
  char const* const folder = std::getenv("STRICT_RESULTS");
  REQUIRE_MESSAGE(folder != nullptr, "strict.sh starts this program");
  return std::string(folder) + "/" + name;
}

/// One rank leaves its result; more must have the same.
void same_everywhere(std::string const& name, std::vector<double> const& mine) {
  CAPTURE(name);
  if (world().size() == 1) {
    std::ofstream(file(name), std::ios::binary)
        .write(reinterpret_cast<char const*>(mine.data()),
               std::streamsize(mine.size() * sizeof(double)));
    return;
  }
  std::vector<double> theirs(mine.size() + 1);
  std::ifstream in(file(name), std::ios::binary);
  in.read(reinterpret_cast<char*>(theirs.data()), std::streamsize(theirs.size() * sizeof(double)));
  REQUIRE(std::size_t(in.gcount()) == mine.size() * sizeof(double));
  theirs.pop_back();
  CHECK(same_bits(theirs, mine));
}

/// The sum over gradients [first, first + count) by halves, an odd number of them from the left.
std::vector<Real> by_halves(std::vector<std::vector<Real>> const& g, std::size_t first,
                            std::size_t count) {
  std::vector<Real> sum = count % 2 == 0 ? by_halves(g, first, count / 2) : g[first];
  auto const add = [&](std::vector<Real> const& more) {
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += more[i];
  };
  if (count % 2 == 0)
    add(by_halves(g, first + count / 2, count / 2));
  else
    for (std::size_t k = 1; k < count; ++k) add(g[first + k]);
  return sum;
}

}  // namespace

TEST_CASE("splits into micro-batches, ranks and stages of Zero give the same bits") {
  std::vector<double> const one = trained<AdamW, Batch<1, 24>, GlobalBatch<8>, Strict<>>();
  same_everywhere("float", one);
  CHECK(same_bits(one, trained<AdamW, Batch<2, 24>, GlobalBatch<8>, Strict<>, Zero<1>>()));
  CHECK(same_bits(one, trained<Strict<1>, AdamW, Batch<2, 24>, GlobalBatch<8>, Zero<2>>()));
  CHECK(same_bits(one, trained<Zero<3>, AdamW, Batch<1, 24>, GlobalBatch<8>, Strict<>>()));
  if (world().size() == 1)
    CHECK(same_bits(one, trained<AdamW, Batch<4, 24>, Accumulate<2>, Strict<>>()));

  std::vector<double> const pairs = trained<AdamW, Batch<2, 24>, GlobalBatch<8>, Strict<2>>();
  same_everywhere("pairs", pairs);
  CHECK(!same_bits(one, pairs));
  CHECK(!same_bits(one, trained<AdamW, Batch<2, 24>, GlobalBatch<8>>()));
}

TEST_CASE("so do 16 bits, other optimizers and batches that are no power of two") {
  same_everywhere("bf16",
                  trained<AdamW, Batch<2, 24>, GlobalBatch<8>, Strict<>, Precision<bf16>>());
  same_everywhere(
      "fp16", trained<AdamW, Batch<1, 24>, GlobalBatch<8>, Strict<>, Precision<fp16>, Zero<3>>());
  same_everywhere("muon", trained<Muon, Batch<2, 24>, GlobalBatch<8>, Strict<>, Zero<1>>());
  same_everywhere("twelve", trained<Sgd, Batch<1, 24>, GlobalBatch<12>, Strict<>, Zero<2>>());
}

TEST_CASE(
    "a gradient is the sum by halves of its samples', of each use of a tied parameter alone") {
  if (world().size() > 1) return;
  for (std::string const path :
       {"blocks.1.mlp.up.weight", "blocks.0.attention.qkv.bias", "embed.token"}) {
    std::vector<std::vector<Real>> g;
    for (int sample = 0; sample < 8; ++sample) {
      Trainer<Model, Sgd, Batch<1, 24>> trainer(world(), {.learning_rate = 0, .shuffle = false});
      trainer.step(Made{.begin = sample, .some_ignored = false});
      g.push_back(trainer.gradient(path));
    }
    Trainer<Model, Sgd, Batch<4, 24>, Accumulate<2>, Strict<>> eight(
        world(), {.learning_rate = 0, .shuffle = false});
    eight.step(Made{.some_ignored = false});
    std::vector<Real> const expected = by_halves(g, 0, 8), found = eight.gradient(path);
    std::size_t different = 0;
    double worst = 0, most = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      different += found[i] != expected[i] / 8;
      worst = std::max(worst, std::abs(double(found[i]) - double(expected[i]) / 8));
      most = std::max(most, std::abs(double(found[i])));
    }
    CAPTURE(path);
    // The tied table has a tree for the head and one for the embedding, so it is another sum.
    CHECK((path == "embed.token" ? different > 0 && worst < 1e-6 * most : different == 0));
  }
}

TEST_CASE("ranks that do not divide the groups are refused in one sentence") {
  if (world().size() == 1) return;
  std::string const text = refusal(
      [] { Trainer<Model, AdamW, Batch<1, 24>, GlobalBatch<8>, Strict<8>> trainer(world()); });
  CHECK(is_one_sentence(text));
  CHECK(contains(text, "Strict<8>: a global batch of 8 samples is 1 groups of 8"));
}
