#include <tessera/run/loss_scale.hpp>

#include "../fixtures/fixture.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <optional>
#include <random>
#include <sstream>
#include <string>

using namespace tessera;

namespace {

/// DeepSpeed's DynamicLossScaler.update_scale, line by line.
struct Published {
  double cur_scale, min_scale;
  std::int64_t scale_window;
  int delayed_shift;
  bool consecutive_hysteresis;
  int cur_hysteresis = delayed_shift;
  std::int64_t cur_iter = 0, last_overflow_iter = -1;

  /// False where it raises.
  bool update_scale(bool overflow) {
    if (overflow) {
      if (delayed_shift == 1 || cur_hysteresis == 1) {
        if (cur_scale == min_scale) return false;
        cur_scale = cur_scale / 2.0 > min_scale ? cur_scale / 2.0 : min_scale;
      } else {
        cur_hysteresis -= 1;
      }
      last_overflow_iter = cur_iter;
    } else {
      if (consecutive_hysteresis) cur_hysteresis = delayed_shift;
      std::int64_t const stable_interval = (cur_iter - last_overflow_iter) - 1;
      if (stable_interval > 0 && stable_interval % scale_window == 0) {
        if (!consecutive_hysteresis) cur_hysteresis = delayed_shift;
        cur_scale *= 2.0;
      }
    }
    cur_iter += 1;
    return true;
  }
};

std::string refusal(LossScale const& options, DType low = DType::fp16) {
  try {
    check_loss_scale(options, low);
  } catch (Error const& e) {
    return e.what();
  }
  return "nothing was refused";
}
bool contains(std::string const& text, std::string const& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("scales are those of DeepSpeed's package, step for step") {
  std::ifstream file(test::fixture_path("loss_scales.txt"));
  int lines = 0, raised = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    CAPTURE(lines);
    std::istringstream words(line);
    LossScale options;
    words >> options.initial_scale_power >> options.loss_scale_window >> options.hysteresis >>
        options.consecutive_hysteresis >> options.min_loss_scale;
    REQUIRE(refusal(options) == "nothing was refused");
    LossScaler scaler = LossScaler::of(options);
    int steps = 0;
    for (int overflow = 0; words >> overflow; ++steps) {
      CAPTURE(steps);
      std::string scale;
      words >> scale;
      bool const raises = scale == "raises";
      raised += raises;
      REQUIRE((overflow && scaler.exhausted(options)) == raises);
      if (raises) continue;
      scaler.update(options, overflow);
      REQUIRE(scaler.factor(options) == std::stod(scale));
    }
    CHECK(steps > 0);
  }
  CHECK(lines == 14);
  CHECK(raised > 0);
}

TEST_CASE("random sequences follow the published rule, and the state says all of it") {
  std::mt19937_64 random(1);
  auto const below = [&](int n) { return int(random() % std::uint64_t(n)); };
  for (int run = 0; run < 300; ++run) {
    CAPTURE(run);
    LossScale const options{.initial_scale_power = below(20),
                            .loss_scale_window = 1 + below(12),
                            .hysteresis = 1 + below(4),
                            .consecutive_hysteresis = below(2) == 1,
                            .min_loss_scale = run % 3 ? 1.0 : 0.125};
    Published published{std::ldexp(1.0, options.initial_scale_power), options.min_loss_scale,
                        options.loss_scale_window, options.hysteresis,
                        options.consecutive_hysteresis};
    LossScaler scaler = LossScaler::of(options);
    std::int64_t skipped = 0;
    int const rarity = 1 + below(12);
    for (int step = 0; step < 500; ++step) {
      bool const overflow = below(rarity) == 0;
      bool const ends = overflow && scaler.exhausted(options);
      REQUIRE(published.update_scale(overflow) == !ends);
      if (ends) break;
      scaler.update(options, overflow);
      skipped += overflow;
      REQUIRE(scaler == LossScaler{published.cur_scale, published.cur_iter,
                                   published.last_overflow_iter, published.cur_hysteresis,
                                   skipped});
    }
  }
}

TEST_CASE("a static scale is always the same, and skips for ever") {
  LossScale const options{.loss_scale = 96};
  LossScaler scaler = LossScaler::of(options), dynamic = scaler;
  for (int step = 0; step < 3000; ++step) {
    CHECK_FALSE(scaler.exhausted(options));
    scaler.update(options, step % 2);
    REQUIRE(scaler.factor(options) == 96);
  }
  CHECK(scaler.skipped == 1500);
  dynamic.skipped = 1500;  // made dynamic later, it starts from the beginning
  CHECK(scaler == dynamic);
}

TEST_CASE("options that mean nothing name the option and its range") {
  CHECK(refusal({}) == "nothing was refused");
  CHECK(refusal({}, DType::real) == "nothing was refused");
  for (DType const low : {DType::real, DType::bf16})
    CHECK(refusal({.hysteresis = 3}, low) ==
          "tessera: Options::fp16 scales the loss of Precision<fp16> only; add that policy, or "
          "leave these options out");
  for (double const bad : {-1.0, 1e-60, 1e60, double(INFINITY), double(NAN)})
    CHECK(contains(refusal({.loss_scale = bad}), "Options::fp16.loss_scale is "));
  for (int const bad : {-1, 128})
    CHECK(contains(refusal({.initial_scale_power = bad}), ".initial_scale_power is "));
  CHECK(contains(refusal({.loss_scale_window = 0}), ".loss_scale_window is 0 steps"));
  CHECK(contains(refusal({.hysteresis = 0}), ".hysteresis is 0; use at least 1"));
  for (double const bad : {0.0, -1.0, 5.0, double(NAN)})
    CHECK(contains(refusal({.initial_scale_power = 2, .min_loss_scale = bad}), ".min_loss_scale"));
  CHECK(refusal({.loss_scale = 8, .hysteresis = 0}) == "nothing was refused");  // not looked at
}
