#include <tessera/optimizer/schedule.hpp>

#include "../fixtures/fixture.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <sstream>
#include <vector>

using namespace tessera;

namespace {

void check(Schedule const& schedule, std::vector<double> const& expected) {
  for (std::size_t step = 0; step < expected.size(); ++step) {
    CAPTURE(step);
    CHECK(std::abs(schedule(std::int64_t(step)) - expected[step]) < 1e-15);
  }
}
template <class F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (Error const& e) {
    return e.what();
  }
  return "no error";
}

static_assert(warmup_constant() == Schedule{});  // a value: an option, and part of a constexpr plan
constexpr Schedule cosine = warmup_cosine(4, 12, 0.1);

}  // namespace

TEST_CASE("without a schedule every step takes the whole rate") {
  for (std::int64_t const step : {0, 1, 1000000}) CHECK(Schedule{}(step) == 1);
}

TEST_CASE("constant: (step + 1) / warmup, then 1") {
  check(warmup_constant(4), {0.25, 0.5, 0.75, 1, 1, 1});
  check(warmup_constant(1), {1, 1});
  CHECK(warmup_constant(100)(1L << 40) == 1);
}

// torch 2.15, lr 1:
// SequentialLR([LinearLR(1/4, 1, 3), CosineAnnealingLR(T_max=8, eta_min=0.1)], [4])
TEST_CASE("warm-up and cosine is torch's sequence of both") {
  check(cosine,
        {0.25, 0.5, 0.75, 1, 1, 0.96574578963007907, 0.86819805153394636, 0.72220754456429048, 0.55,
         0.37779245543570972, 0.2318019484660537, 0.134254210369921, 0.1, 0.1, 0.1});
  for (int step = 4; step < 12; ++step)
    CHECK(cosine(step) ==
          doctest::Approx(0.1 + 0.9 * (1 + std::cos(std::numbers::pi * (step - 4) / 8)) / 2));
  check(warmup_cosine(0, 2), {1, 0.5, 0, 0});
}

// torch 2.15: SequentialLR([LinearLR(1/4, 1, 3), LinearLR(1, 0.1, 8)], [4]), lr 1
TEST_CASE("warm-up and linear is torch's sequence of both") {
  check(warmup_linear(4, 12, 0.1),
        {0.25, 0.5, 0.75, 1, 1, 0.8875, 0.775, 0.6625, 0.55, 0.4375, 0.325, 0.2125, 0.1, 0.1});
  check(warmup_linear(0, 4), {1, 0.75, 0.5, 0.25, 0, 0});
}

// torch 2.15: OneCycleLR(max_lr=1, total_steps=12) and OneCycleLR(max_lr=1, total_steps=10,
// pct_start=0.25, div_factor=10, final_div_factor=100)
TEST_CASE("one cycle is torch's OneCycleLR with cosine annealing") {
  check(one_cycle(12),
        {0.040000000000000036, 0.34978965421958308, 0.87928515912212868, 0.99441543545091171,
         0.93301296984141169, 0.81174565394976295, 0.64737899769510332, 0.46263710266697505,
         0.28306099820869923, 0.1334775301888306, 0.034566987425395219, 4e-6, 4e-6});
  check(
      one_cycle(10, 0.25, 10, 100),
      {0.1, 0.775, 0.9890847265665359, 0.90460398869028624, 0.75024999999999997,
       0.55271196740219297, 0.34614601130971379, 0.16626926212375048, 0.044184043907520815, 0.001});
  check(one_cycle(2, 0.1), {1, 4e-6});
}

// tests/fixtures/schedules.py names the same schedules in DeepSpeed's words.
TEST_CASE("DeepSpeed's schedules are DeepSpeed's, step for step") {
  using enum deepspeed::Rise;
  std::map<std::string, Schedule> const schedules{
      {"warmup_log", deepspeed::warmup(10)},
      {"warmup_linear", deepspeed::warmup(10, 0.1, linear)},
      {"warmup_of_one_step", deepspeed::warmup(1, 0.1)},
      {"warmup_decay_log", deepspeed::warmup_decay(8, 20, 0.1)},
      {"warmup_decay_linear", deepspeed::warmup_decay(8, 20, 0, linear)},
      {"warmup_cosine_log", deepspeed::warmup_cosine(6, 20, 0.1, 0.05)},
      {"warmup_cosine_linear", deepspeed::warmup_cosine(6, 20, 0, 1e-4, linear)},
      {"one_cycle", deepspeed::one_cycle(0.1, 5, 9)},
      {"one_cycle_decay", deepspeed::one_cycle(0.1, 6, 6, 0.5, 3)},
      {"range_test", deepspeed::range_test(5, 0.7)},
      {"range_test_staircase", deepspeed::range_test(5, 0.7, true)}};
  std::ifstream file(test::fixture_path("schedules.txt"));
  std::size_t found = 0;
  for (std::string line; std::getline(file, line); ++found) {
    std::istringstream words(line);
    std::string name;
    double base = 0;
    words >> name >> base;
    CAPTURE(name);
    REQUIRE(schedules.contains(name));
    std::int64_t step = 0;
    for (double rate = 0; words >> rate; ++step) {
      CAPTURE(step);
      CHECK(std::abs(base * schedules.at(name)(step) - rate) < 1e-12 * base);
    }
    CHECK(step == 24);
  }
  CHECK(found == schedules.size());
}

TEST_CASE("schedules that make no sense say which number and its range") {
  CHECK(refusal([] { warmup_cosine(10, 10); }) ==
        "tessera: a schedule of 10 steps cannot warm up over 10; use 0 <= warmup < total");
  CHECK(refusal([] { warmup_linear(0, 10, 1.5); }).find("not 1.5") != std::string::npos);
  CHECK(refusal([] { one_cycle(1); }).find("total >= 2") != std::string::npos);
  CHECK(refusal([] { one_cycle(10, 0); }).find("0 < rise < 1") != std::string::npos);
  CHECK(refusal([] { deepspeed::warmup(0); }).find("warmup >= 1") != std::string::npos);
  CHECK(refusal([] { deepspeed::warmup_decay(9, 9); }).find("warmup < total") != std::string::npos);
  CHECK(refusal([] { deepspeed::warmup_cosine(2, 9, 2); }).find("from <= 1") != std::string::npos);
  CHECK(refusal([] { deepspeed::one_cycle(0.1, 0); }).find("rise 0") != std::string::npos);
  CHECK(refusal([] { deepspeed::range_test(0); }).find("span >= 1") != std::string::npos);
}
