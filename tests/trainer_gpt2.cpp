// ranks: 1 2 4
// timeout: 120
#include <tessera/tessera.hpp>

#include "fixtures/fixture.hpp"
#include "mpi_main.hpp"

#include <cmath>

using namespace tessera;

namespace {

/// The fixture's batches, one behind the other.
struct Stored {
  std::vector<std::int32_t> tokens, targets;
  std::int64_t samples(int length) const { return std::int64_t(tokens.size()) / length; }
  void sample(std::int64_t index, std::span<std::int32_t> in, std::span<std::int32_t> out) const {
    std::copy_n(tokens.begin() + index * std::int64_t(in.size()), in.size(), in.begin());
    std::copy_n(targets.begin() + index * std::int64_t(in.size()), out.size(), out.begin());
  }
};

double relative(std::vector<Real> const& got, std::vector<float> const& wanted) {
  REQUIRE(got.size() == wanted.size());
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    difference += std::pow(double(got[i]) - double(wanted[i]), 2);
    size += std::pow(double(wanted[i]), 2);
  }
  return std::sqrt(difference / size);
}

/// The gradient of a key's bias is 0 exactly, so what is computed there is noise, and Adam steps on
/// it.
void leave_out_key_bias(std::string const& path, auto& values) {
  if (path.find("qkv.bias") != std::string::npos)
    std::fill(values.begin() + 64, values.begin() + 128, 0.f);
}

template <class... Policies>
void follows_pytorch() {
  test::Fixture const f(test::fixture_path("gpt2_tiny.bin"));
  Stored const data{f.ints("tokens"), f.ints("targets")};
  Trainer<Gpt2<2, 64, 4, 97, 32>, AdamW, ClipNorm, Policies...> trainer(
      test::world(), {.learning_rate = 1e-3, .weight_decay = 0.1, .shuffle = false});
  for (std::string const& path : trainer.paths())
    trainer.set_parameter(path, f.floats("initial/" + path));
  auto const losses = f.doubles("loss"), norms = f.doubles("gradient_norm");
  int clipped = 0;
  for (std::size_t step = 0; step < losses.size(); ++step) {
    Report const r = trainer.step(data);
    CHECK(std::abs(r.loss - losses[step]) <= 5e-6);
    CHECK(std::abs(r.gradient_norm / norms[step] - 1) <= 5e-6);
    clipped += r.gradient_norm > 1;
    if (step > 0) continue;
    for (std::string const& path : trainer.paths()) {
      auto got = trainer.gradient(path);
      auto wanted = f.floats("gradient/" + path);
      leave_out_key_bias(path, got), leave_out_key_bias(path, wanted);
      INFO(path);
      CHECK(relative(got, wanted) <= 2e-5);
    }
  }
  CHECK(clipped > 0);
  CHECK(clipped < int(losses.size()));
  for (std::string const& path : trainer.paths()) {
    auto got = trainer.parameter(path);
    auto wanted = f.floats("final/" + path);
    leave_out_key_bias(path, got), leave_out_key_bias(path, wanted);
    INFO(path);
    CHECK(relative(got, wanted) <= 1e-4);
  }
}

template <class... Policies>
void follows_pytorch_on_any_ranks() {
  switch (test::world().size()) {
    case 1: return follows_pytorch<Batch<4, 32>, Policies...>();
    case 2: return follows_pytorch<Batch<2, 32>, Policies...>();
    case 4: return follows_pytorch<Batch<1, 32>, Policies...>();
    default: FAIL("this test runs on 1, 2 or 4 ranks");
  }
}

TEST_CASE("20 AdamW steps of a tiny GPT-2 are PyTorch's: whole state on every rank") {
  follows_pytorch_on_any_ranks<Zero<0>>();
}
TEST_CASE("20 AdamW steps of a tiny GPT-2 are PyTorch's: everything sharded") {
  follows_pytorch_on_any_ranks<Zero<3>>();
}

}  // namespace
