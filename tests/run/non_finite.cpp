// ranks: 1 2 4
#include <tessera/run/engine.hpp>

#include "run/small.hpp"

#include <limits>

namespace {

using namespace tessera;
using namespace tessera::test;

template <class T>
auto everything(T& trainer) {
  std::vector<std::vector<Real>> all;
  for (std::string const& path : trainer.paths()) {
    all.push_back(trainer.parameter(path));
    all.push_back(trainer.state("exp_avg", path)), all.push_back(trainer.state("exp_avg_sq", path));
  }
  return all;
}
bool same(std::vector<std::vector<Real>> const& a, std::vector<std::vector<Real>> const& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!same_bits(a[i], b[i])) return false;
  return a.size() == b.size();
}

/// Every rank gets here, so every rank has thrown.
template <class T>
void refuses_step(T& trainer, std::initializer_list<char const*> parts) {
  auto const before = everything(trainer);
  std::int64_t const steps = trainer.steps();
  std::string const said = refusal([&] { trainer.step(Counting{}); });
  INFO(said);
  CHECK(is_one_sentence(said));
  CHECK(contains(said, "step " + std::to_string(steps + 1) + ":"));
  for (char const* part : parts) CHECK(contains(said, part));
  CHECK(trainer.steps() == steps);
  CHECK(same(before, everything(trainer)));
}

template <class... Policies>
void names_the_first_value() {
  Trainer<Small, AdamW, ClipNorm, Batch<1, 8>, Policies...> trainer(world(), {});
  Real const infinite = std::numeric_limits<Real>::infinity();
  trainer.step(Counting{});
  for (Real const bad : {std::numeric_limits<Real>::quiet_NaN(), infinite, -infinite}) {
    std::string const path = "blocks.1.mlp.up.weight";
    std::vector<Real> const good = trainer.parameter(path);
    std::vector<Real> changed = good;
    changed[5] = bad;
    trainer.set_parameter(path, changed);
    refuses_step(trainer, {"blocks.1 forward, node %", "(matmul_bias)", "learning rate"});
    trainer.set_parameter(path, good);
  }
  CHECK(trainer.step(Counting{}).step == 2);  // and it goes on
}

TEST_CASE("a value that is not finite is named, and changes nothing: whole") {
  names_the_first_value<Zero<0>>();
}
TEST_CASE("a value that is not finite is named, and changes nothing: sharded, two micro-batches") {
  names_the_first_value<Zero<3>, Accumulate<2>>();
}
TEST_CASE("a learning rate far too high is found at the step after, not later") {
  Trainer<Small, AdamW, ClipNorm, Batch<1, 8>, Zero<0>> trainer(world(), {.learning_rate = 1e30});
  trainer.step(Counting{});
  refuses_step(trainer, {"step 2", "node %", "lower the learning rate"});
}

/// Nothing to predict anywhere, or on all ranks but one.
struct Holes : Counting {
  bool all = true;
  void sample(std::int64_t index, std::span<std::int32_t> in, std::span<std::int32_t> out) const {
    Counting::sample(index, in, out);
    if (all || index > 0) std::fill(out.begin(), out.end(), ignored);
  }
};
TEST_CASE("a batch without targets is refused; one with targets on one rank only is not") {
  Trainer<Small, AdamW, ClipNorm, Batch<1, 8>, Zero<0>> trainer(world(), {.shuffle = false});
  for (int evaluating : {0, 1}) {
    std::string const said = refusal(
        [&] { evaluating ? void(trainer.evaluate(Holes{})) : void(trainer.step(Holes{})); });
    INFO(said);
    CHECK(is_one_sentence(said));
    CHECK(contains(said, "every target"));
  }
  Report const r = trainer.step(Holes{{}, false});
  CHECK(std::abs(r.loss - std::log(17.0)) < 0.5);  // the mean over what counts
  CHECK(r.gradient_norm > 0);
}

}  // namespace
