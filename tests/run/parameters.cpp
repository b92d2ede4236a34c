// ranks: 1 2 4
#include <tessera/run/parameters.hpp>

#include "run/small.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;

template <int Stage>
using Staged = Trainer<Small, AdamW, Batch<1, 8>, Zero<Stage>>;

/// Different for every element, path and purpose; negative zeros among them.
std::vector<Real> pattern(std::string const& path, std::size_t count, int purpose) {
  std::vector<Real> v(count);
  RandomKey const key = RandomKey(3, path).at(std::uint64_t(purpose));
  for (std::size_t i = 0; i < count; ++i)
    v[i] = i % 7 == 3 ? -0.0f : Real(uniform(key, std::int64_t(i)) - 0.5f);
  return v;
}

template <int Stage>
void gives_back_what_was_set() {
  Staged<Stage> trainer(world(), {});
  auto const each = [&](auto f) {
    for (std::string const& path : trainer.paths()) {
      INFO(path);
      f(path, std::size_t(trainer.shape(path).count()));
    }
  };
  each([&](std::string const& path, std::size_t n) {
    trainer.set_parameter(path, pattern(path, n, 0));
    trainer.set_state("exp_avg", path, pattern(path, n, 1));
    trainer.set_state("exp_avg_sq", path, pattern(path, n, 2));
  });
  each([&](std::string const& path, std::size_t n) {
    REQUIRE(same_bits(trainer.parameter(path), pattern(path, n, 0)));
    REQUIRE(same_bits(trainer.state("exp_avg", path), pattern(path, n, 1)));
    REQUIRE(same_bits(trainer.state("exp_avg_sq", path), pattern(path, n, 2)));
  });
  REQUIRE(same_bits(trainer.parameter("head.token"), trainer.parameter("embed.token")));
}

TEST_CASE("every parameter and state reads as it was set: whole on every rank") {
  gives_back_what_was_set<0>();
}
TEST_CASE("every parameter and state reads as it was set: states sharded") {
  gives_back_what_was_set<1>();
}
TEST_CASE("every parameter and state reads as it was set: gradients sharded") {
  gives_back_what_was_set<2>();
}
TEST_CASE("every parameter and state reads as it was set: everything sharded") {
  gives_back_what_was_set<3>();
}

TEST_CASE("first values depend on seed and path only, and are what a parameter's Init says") {
  Staged<0> whole(world(), {});
  Staged<3> sharded(world(), {}), other(world(), {.seed = 2});
  for (std::string const& path : whole.paths()) {
    INFO(path);
    std::vector<Real> const v = whole.parameter(path);
    REQUIRE(same_bits(v, sharded.parameter(path)));
    if (path.ends_with("gain") || path.ends_with("shift") || path.ends_with("bias")) {
      REQUIRE(v == std::vector<Real>(v.size(), path.ends_with("gain") ? Real(1) : Real(0)));
      continue;
    }
    REQUIRE_FALSE(same_bits(v, other.parameter(path)));
    double squares = 0;
    for (Real x : v) squares += double(x) * double(x);
    double const wanted = path.ends_with("position")                        ? 0.01
                          : path.find("out.") + 1 || path.find("down.") + 1 ? 0.02 / 2
                                                                            : 0.02;
    CHECK(std::sqrt(squares / double(v.size())) == doctest::Approx(wanted).epsilon(0.15));
  }
  REQUIRE_FALSE(same_bits(whole.parameter("blocks.0.mlp.up.weight"),
                          whole.parameter("blocks.1.mlp.up.weight")));
}

TEST_CASE("a wrong path, count or state is refused in one sentence, on every rank") {
  Staged<3> trainer(world(), {});
  auto const refused = [&](std::string const& said, char const* part) {
    INFO(said);
    CHECK(is_one_sentence(said));
    CHECK(contains(said, part));
  };
  refused(refusal([&] { trainer.parameter("blocks.2.mlp.up.weight"); }),
          "there is no parameter 'blocks.2.mlp.up.weight'");
  refused(refusal([&] { trainer.set_parameter("embed.token", std::vector<Real>(3)); }),
          "has 544 elements, not 3");
  refused(refusal([&] { trainer.state("momentum", "embed.token"); }),
          "has no state 'momentum'; it has exp_avg, exp_avg_sq");
}

TEST_CASE("a gradient is as long there as its memory: one whose place a pass took is refused") {
  Staged<2> trainer(world(), {});
  bool const reuses = world().size() > 1;
  std::string const path = "blocks.1.mlp.up.weight";
  auto const gone = [&] { return refusal([&] { trainer.gradient(path); }); };
  for (bool writes : {false, true}) {
    trainer.step(Counting{});
    std::vector<Real> const g = trainer.gradient(path);
    if (writes)
      trainer.generate(std::vector<std::int32_t>{1, 2}, 1);
    else
      trainer.evaluate(Counting{}, 4);
    if (!reuses) {
      CHECK(same_bits(trainer.gradient(path), g));
      continue;
    }
    INFO(gone());
    CHECK(is_one_sentence(gone()));
    CHECK(contains(gone(), "ask before evaluate() and generate()"));
    trainer.step(Counting{});
    CHECK_FALSE(same_bits(trainer.gradient(path), g));
  }
}

}  // namespace
