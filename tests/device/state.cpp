// cuda
// ranks: 1 2
// timeout: 120
/// What a trainer on a GPU shows and keeps: parameters by path, checkpoints that go on on cores and
/// back, text it writes, the first value that is not finite.
#include <cmath>
#include <string>
#include <vector>

#include "run/small.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

template <class... Policies>
using Run = Trainer<Small, Batch<2, 8>, AdamW, Policies...>;

template <class A, class B>
void same_state(A& a, B& b) {
  for (std::string const& path : a.paths()) {
    CAPTURE(path);
    CHECK(same_bits(a.parameter(path), b.parameter(path)));
    CHECK(same_bits(a.state("exp_avg", path), b.state("exp_avg", path)));
    CHECK(same_bits(a.state("exp_avg_sq", path), b.state("exp_avg_sq", path)));
  }
}

/// most: between losses of the same weights and samples.
template <class... Policies>
void crosses(double most) {
  Folder const folder;
  std::string const file = folder / "model.checkpoint";
  Run<On<Cuda>, Policies...> gpu(world(), {.learning_rate = 1e-2});
  for (int i = 0; i < 2; ++i) gpu.step(Counting{});
  gpu.save(file);

  Run<Policies...> cores(world(), {.learning_rate = 1e-2, .seed = 9});
  cores.options().seed = gpu.options().seed;  // the order of the data
  cores.load(file);
  same_state(gpu, cores);
  double const there = gpu.step(Counting{}).loss, here = cores.step(Counting{}).loss;
  CHECK(std::abs(there / here - 1) < most);

  cores.save(file);
  gpu.load(file);
  same_state(gpu, cores);
}

}  // namespace

TEST_CASE("a checkpoint goes on elsewhere, to the bit") {
  crosses<Zero<3>>(1e-6);
  crosses<Zero<1>, Precision<bf16>>(0x1p-8);
  crosses<Zero<2>, Precision<fp16>>(0x1p-10);
}

TEST_CASE("a parameter that is set is read again, whole") {
  Run<On<Cuda>, Zero<3>> trainer(world());
  std::string const path = "blocks.1.mlp.up.weight";
  std::vector<Real> values(std::size_t(trainer.shape(path).count()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = Real(i) / 8;
  trainer.set_parameter(path, values);
  CHECK(trainer.parameter(path) == values);
}

TEST_CASE("it writes what cores write with the same weights") {
  Run<On<Cuda>> gpu(world());
  Run<> cores(world());
  std::vector<std::int32_t> const prompt{3, 4, 5};
  CHECK(gpu.generate(prompt, 8, {.temperature = 0}) ==
        cores.generate(prompt, 8, {.temperature = 0}));
}

TEST_CASE("the first value that is not finite is named") {
  Run<On<Cuda>> trainer(world(), {.learning_rate = 1e-2});
  std::string const path = "blocks.1.norm1.gain";
  std::vector<Real> gain = trainer.parameter(path);
  gain[3] = INFINITY;
  trainer.set_parameter(path, gain);
  std::string const said = refusal([&] { trainer.step(Counting{}); });
  CAPTURE(said);
  CHECK(contains(said, "blocks.1 forward"));
  CHECK(contains(said, "(layer_norm)"));
}
