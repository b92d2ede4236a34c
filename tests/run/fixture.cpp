#include "../fixtures/fixture.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

using tessera::test::Fixture;
using tessera::test::fixture_path;

namespace {

Fixture const& gpt2() {
  static Fixture const fixture(fixture_path("gpt2_tiny.bin"));
  return fixture;
}

Fixture const& llama() {
  static Fixture const fixture(fixture_path("llama_tiny.bin"));
  return fixture;
}

std::size_t parameters_of(Fixture const& f) {
  auto const paths = f.names("initial/");
  CHECK(f.names("gradient/") == paths);
  CHECK(f.names("final/") == paths);
  std::size_t count = 0;
  for (auto const& path : paths) {
    CHECK(f.shape("gradient/" + path) == f.shape("initial/" + path));
    CHECK(f.shape("final/" + path) == f.shape("initial/" + path));
    count += f.floats("initial/" + path).size();
  }
  return count;
}

TEST_CASE("a tiny model has every parameter three times, in one shape") {
  CHECK(gpt2().names("initial/").size() == 2 + 2 * 12 + 2);
  CHECK(parameters_of(gpt2()) == 97 * 64 + 32 * 64 + 2 * (12 * 64 * 64 + 13 * 64) + 2 * 64);
  CHECK(gpt2().shape("initial/blocks.1.attention.qkv.weight") == std::vector{3 * 64, 64});

  CHECK(llama().names("initial/").size() == 1 + 2 * 6 + 2);
  CHECK(parameters_of(llama()) == 2 * 97 * 64 + 2 * ((3 * 64 + 3 * 88) * 64 + 2 * 64) + 64);
  CHECK(llama().shape("initial/blocks.1.attention.qkv.weight") == std::vector{2 * 64, 64});
  CHECK(llama().shape("initial/blocks.1.mlp.gate_up.weight") == std::vector{2 * 88, 64});
}

TEST_CASE("the norm of the stored gradients is the stored gradient norm of step 1") {
  for (Fixture const* const f : {&gpt2(), &llama()}) {
    double squares = 0;
    for (auto const& path : f->names("gradient/"))
      for (float const g : f->floats("gradient/" + path)) squares += double(g) * g;
    CHECK(std::sqrt(squares) == doctest::Approx(f->doubles("gradient_norm")[0]).epsilon(1e-7));
  }
}

TEST_CASE("an array begins where the header says: gains are near 1, key biases get no gradient") {
  for (float const gain : gpt2().floats("initial/blocks.1.norm2.gain"))
    CHECK(std::abs(gain - 1) < 0.5F);
  // A bias on all keys moves all scores of a query alike, which softmax does not see.
  auto const bias = gpt2().floats("gradient/blocks.0.attention.qkv.bias");
  for (int row = 64; row < 128; ++row) CHECK(std::abs(bias[std::size_t(row)]) < 1e-12F);
}

TEST_CASE("clipping acts in some of the 20 steps and not in others; some targets are ignored") {
  for (Fixture const* const f : {&gpt2(), &llama()}) {
    auto const norms = f->doubles("gradient_norm");
    CHECK(norms.size() == 20);
    auto const clipped = std::count_if(norms.begin(), norms.end(), [](double n) { return n > 1; });
    CHECK(clipped >= 5);
    CHECK(clipped <= 15);

    auto const tokens = f->ints("tokens"), targets = f->ints("targets");
    CHECK(f->shape("tokens") == std::vector{20, 4, 32});
    CHECK(std::all_of(tokens.begin(), tokens.end(), [](int t) { return 0 <= t && t < 97; }));
    CHECK(std::all_of(targets.begin(), targets.end(), [](int t) { return -1 <= t && t < 97; }));
    CHECK(std::count(targets.begin(), targets.end(), -1) > 100);
  }
}

TEST_CASE("what is not there, of another type or cut off is refused by name") {
  CHECK_THROWS_WITH_AS(gpt2().floats("initial/no.such"), doctest::Contains("initial/no.such"),
                       tessera::Error);
  CHECK_THROWS_WITH_AS(gpt2().floats("loss"), doctest::Contains("f64"), tessera::Error);
  CHECK_THROWS_AS(Fixture("no such file"), tessera::Error);

  std::string const cut = "fixture_cut.bin";
  std::ofstream(cut, std::ios::binary) << "tessera-fixture 1\nx f32 0 1 2\n\n1234567";
  CHECK_THROWS_WITH_AS(Fixture(cut).floats("x"), doctest::Contains("ends inside x"),
                       tessera::Error);
  std::remove(cut.c_str());
}

}  // namespace
