#include <tessera/optimizer/schedule.hpp>

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

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

TEST_CASE("schedules that make no sense say which number and its range") {
  CHECK(refusal([] { warmup_cosine(10, 10); }) ==
        "tessera: a schedule of 10 steps cannot warm up over 10; use 0 <= warmup < total");
  CHECK(refusal([] { warmup_linear(0, 10, 1.5); }).find("not 1.5") != std::string::npos);
  CHECK(refusal([] { one_cycle(1); }).find("total >= 2") != std::string::npos);
  CHECK(refusal([] { one_cycle(10, 0); }).find("0 < rise < 1") != std::string::npos);
}
