/// Learning-rate schedules as values: the share of the base rate that a step takes.
///
/// Steps count from 0; what follows the last step keeps its value. In other systems' words, with
/// base rate r, warm-up w, total t, floor f:
///   warmup_cosine(w, t, f)   llm.c `-u w -q f` · nanoGPT, one warm-up step later · torch
///                            SequentialLR of LinearLR(1 / w, 1, w - 1) and
///                            CosineAnnealingLR(t - w, f r) at milestone w
///   warmup_linear(w, t, f)   the same with LinearLR(1, f, t - w) · with f = 0 DeepSpeed
///                            WarmupDecayLR of warmup_type "linear", whose warm-up is a step later
///   warmup_constant(w)       DeepSpeed WarmupLR of warmup_type "linear", as above
///   one_cycle(t, p, d, e)    torch OneCycleLR(r, t, pct_start=p, div_factor=d, final_div_factor=e)
///                            with cosine annealing; momentum does not cycle
#pragma once

#include <tessera/core/error.hpp>
#include <tessera/core/setting.hpp>

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>

namespace tessera::inline TESSERA_SETTING {

/// Up from `start` to 1 until step `top`, then from step `fall` on down to `floor` at step `end`.
struct Schedule {
  enum class Curve : unsigned char { flat, line, cosine };

  double start = 1, floor = 1;
  double top = 0, fall = 0, end = 0;
  Curve up = Curve::flat, down = Curve::flat;

  double operator()(std::int64_t step) const {
    double const s = double(step);
    if (up != Curve::flat && s < top) return between(start, 1, s / top, up);
    if (down == Curve::flat || s <= fall) return 1;
    return s >= end ? floor : between(1, floor, (s - fall) / (end - fall), down);
  }
  bool operator==(Schedule const&) const = default;

 private:
  static double between(double from, double to, double x, Curve curve) {
    if (curve == Curve::line) return from + (to - from) * x;
    return to + (from - to) / 2 * (1 + std::cos(std::numbers::pi * x));
  }
};

namespace detail {

constexpr void check_schedule(std::int64_t warmup, std::int64_t total, double floor) {
  if (warmup < 0 || total <= warmup)
    throw Error("a schedule of " + std::to_string(total) + " steps cannot warm up over " +
                    std::to_string(warmup) + "; use 0 <= warmup < total",
                true);
  if (!(floor >= 0 && floor <= 1))
    throw Error("a schedule's floor is a share of the learning rate, not " + std::to_string(floor) +
                    "; use 0 <= floor <= 1",
                true);
}
constexpr Schedule warmed_up(std::int64_t warmup) {  // (step + 1) / warmup, 1 at step warmup - 1
  Schedule s;
  if (warmup < 2) return s;
  s.start = 1 / double(warmup);
  s.top = double(warmup - 1);
  s.up = Schedule::Curve::line;
  return s;
}
constexpr Schedule falling(std::int64_t warmup, std::int64_t total, double floor,
                           Schedule::Curve curve) {
  check_schedule(warmup, total, floor);
  Schedule s = warmed_up(warmup);
  s.floor = floor;
  s.fall = double(warmup);
  s.end = double(total);
  s.down = curve;
  return s;
}

}  // namespace detail

constexpr Schedule warmup_constant(std::int64_t warmup = 0) {
  return detail::warmed_up(warmup);
}

/// After the warm-up: floor + (1 - floor) (1 + cos(pi x)) / 2, x from 0 at warmup to 1 at total.
constexpr Schedule warmup_cosine(std::int64_t warmup, std::int64_t total, double floor = 0) {
  return detail::falling(warmup, total, floor, Schedule::Curve::cosine);
}

/// After the warm-up: 1 - (1 - floor) x.
constexpr Schedule warmup_linear(std::int64_t warmup, std::int64_t total, double floor = 0) {
  return detail::falling(warmup, total, floor, Schedule::Curve::line);
}

/// From 1 / divisor up to 1 in `rise` of the steps, then down to 1 / divisor / final_divisor.
constexpr Schedule one_cycle(std::int64_t total, double rise = 0.3, double divisor = 25,
                             double final_divisor = 1e4) {
  if (total < 2 || !(rise > 0 && rise < 1) || !(divisor >= 1) || !(final_divisor >= 1))
    throw Error(
        "one_cycle(total, rise, divisor, final_divisor) needs total >= 2, 0 < rise < 1 and "
        "divisors >= 1; got total " +
            std::to_string(total) + ", rise " + std::to_string(rise),
        true);
  Schedule s;
  s.start = 1 / divisor;
  s.floor = s.start / final_divisor;
  s.top = s.fall = rise * double(total) > 1 ? rise * double(total) - 1 : 0;
  s.end = double(total - 1);
  s.up = s.down = Schedule::Curve::cosine;
  return s;
}

}  // namespace tessera::inline TESSERA_SETTING
