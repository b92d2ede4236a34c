#include <tessera/plan/render.hpp>

#include "toy.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

using namespace tessera;

namespace {

/// Compares with tests/golden; TESSERA_WRITE_GOLDEN=1 writes the file instead, to be read before
/// it is committed.
void check_golden(std::string const& name, std::string const& text) {
  char const* const source = std::getenv("TESSERA_SOURCE");
  auto const path = std::filesystem::path(source ? source : ".") / "tests/golden" / name;
  if (std::getenv("TESSERA_WRITE_GOLDEN")) std::ofstream(path) << text;
  std::ifstream file(path);
  REQUIRE(file.good());
  std::stringstream expected;
  expected << file.rdbuf();
  CHECK(text == expected.str());
}

}  // namespace

TEST_CASE("sizes are human") {
  CHECK(human(192) == "192 B");
  CHECK(human(153'600) == "150 KiB");
  CHECK(human(5 * 1_MiB / 4) == "1.25 MiB");
  CHECK(human(1000 * 1_KiB) == "0.98 MiB");
}

TEST_CASE("plans read as before") {
  check_golden("plan_zero0_one_rank.txt", render(toy::plan(0, {1, 1})));
  check_golden("plan_zero1_one_domain.txt", render(toy::plan(1, {4, 4}, Step, 2)));
  check_golden("plan_zero3_two_domains.txt", render(toy::plan(3, {4, 2}, Micro, 2)));
  check_golden("plan_across_sums.txt", render(toy::plan(1, {4, 2}, Step, 1, 3, Across::sums)));
  check_golden("plan_across_matrices.txt",
               render(toy::plan(1, {4, 2}, Step, 1, 3, Across::matrices)));
  check_golden("plan_strict.txt", render(toy::strict_plan(1, {4, 2}, 8, 2)));
  check_golden("plan_gpu_unordered.txt", render(toy::gpu_plan(2, {.data = 4}, true)));
  check_golden("plan_evaluate.txt", render(evaluate_plan(toy::plan(3, {4, 2}, Micro, 2), 3)));
}

TEST_CASE("a plan on GPUs says who sums gradients") {
  std::string const ordered = render(toy::gpu_plan(2, {.data = 4}, false));
  CHECK(ordered.find("reduce      parts of ranks are exchanged, and added in rank order\n") !=
        std::string::npos);
  CHECK(render(toy::gpu_plan(2, {.data = 1}, false)).find("rank order") == std::string::npos);
}
