#include "../fixtures/fixture.hpp"

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
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

TEST_CASE("the tiny GPT-2 has every parameter three times, in one shape") {
  auto const paths = gpt2().names("initial/");
  CHECK(paths.size() == 2 + 2 * 12 + 2);
  CHECK(gpt2().names("gradient/") == paths);
  CHECK(gpt2().names("final/") == paths);
  std::size_t count = 0;
  for (auto const& path : paths) {
    CHECK(gpt2().shape("gradient/" + path) == gpt2().shape("initial/" + path));
    CHECK(gpt2().shape("final/" + path) == gpt2().shape("initial/" + path));
    count += gpt2().floats("initial/" + path).size();
  }
  CHECK(count == 97 * 64 + 32 * 64 + 2 * (12 * 64 * 64 + 13 * 64) + 2 * 64);
  CHECK(gpt2().shape("initial/blocks.1.attention.qkv.weight") == std::vector{3 * 64, 64});
}

TEST_CASE("the norm of the stored gradients is the stored gradient norm of step 1") {
  double squares = 0;
  for (auto const& path : gpt2().names("gradient/"))
    for (float const g : gpt2().floats("gradient/" + path)) squares += double(g) * g;
  CHECK(std::sqrt(squares) == doctest::Approx(gpt2().doubles("gradient_norm")[0]).epsilon(1e-7));
}

TEST_CASE("an array begins where the header says: gains are near 1, key biases get no gradient") {
  for (float const gain : gpt2().floats("initial/blocks.1.norm2.gain"))
    CHECK(std::abs(gain - 1) < 0.5F);
  // A bias on all keys moves all scores of a query alike, which softmax does not see.
  auto const bias = gpt2().floats("gradient/blocks.0.attention.qkv.bias");
  for (int row = 64; row < 128; ++row) CHECK(std::abs(bias[std::size_t(row)]) < 1e-12F);
}

TEST_CASE("clipping acts in some of the 20 steps and not in others; some targets are ignored") {
  auto const norms = gpt2().doubles("gradient_norm");
  CHECK(norms.size() == 20);
  auto const clipped = std::count_if(norms.begin(), norms.end(), [](double n) { return n > 1; });
  CHECK(clipped >= 5);
  CHECK(clipped <= 15);

  auto const tokens = gpt2().ints("tokens"), targets = gpt2().ints("targets");
  CHECK(gpt2().shape("tokens") == std::vector{20, 4, 32});
  CHECK(std::all_of(tokens.begin(), tokens.end(), [](int t) { return 0 <= t && t < 97; }));
  CHECK(std::all_of(targets.begin(), targets.end(), [](int t) { return -1 <= t && t < 97; }));
  CHECK(std::count(targets.begin(), targets.end(), -1) > 100);
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
