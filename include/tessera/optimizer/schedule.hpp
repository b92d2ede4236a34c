/// Learning-rate schedules as values: the share of the base rate that a step takes.
///
/// Steps count from 0; what follows the last step keeps its value. In other systems' words, with
/// base rate r, warm-up w, total t, floor f:
///   warmup_cosine(w, t, f)   llm.c `-u w -q f` · nanoGPT, one warm-up step later · torch
///                            SequentialLR of LinearLR(1 / w, 1, w - 1) and
///                            CosineAnnealingLR(t - w, f r) at milestone w
///   warmup_linear(w, t, f)   the same with LinearLR(1, f, t - w)
///   warmup_constant(w)       LinearLR(1 / w, 1, w - 1)
///   one_cycle(t, p, d, e)    torch OneCycleLR(r, t, pct_start=p, div_factor=d, final_div_factor=e)
///                            with cosine annealing; momentum does not cycle
/// DeepSpeed's, step for step: r is warmup_max_lr, cycle_max_lr or lr_range_test_min_lr, with
/// WarmupCosineLR the optimizer's; a is a share of it, k the warmup_type. Momentum does not cycle.
///   deepspeed::warmup(w, a, k)               WarmupLR(a r, r, w, k)
///   deepspeed::warmup_decay(w, t, a, k)      WarmupDecayLR(t, a r, r, w, k)
///   deepspeed::warmup_cosine(w, t, a, f, k)  WarmupCosineLR(t, a, w, f, k)
///   deepspeed::one_cycle(a, n, m, d, e)      OneCycle(a r, r, d, n, m, decay_step_size=e)
///   deepspeed::range_test(n, g, b)           LRRangeTest(r, n, g, b)
#pragma once

#include <tessera/core/error.hpp>
#include <tessera/core/setting.hpp>

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>

namespace tessera::inline TESSERA_SETTING {

/// `first` for `wait` steps; then, counted from there, up from `start` to 1 before step `top`, from
/// step `fall` on down to `floor` at step `end`, and from `end` on, where u counts spans of `span`
/// steps (with `stairs` whole ones), floor (1 + growth u) / (1 + decay u).
struct Schedule {
  enum class Curve : unsigned char { flat, line, log, cosine };

  double first = 0, wait = 0;
  double start = 1, floor = 1;
  double top = 0, fall = 0, end = 0;
  Curve up = Curve::flat, down = Curve::flat;
  double growth = 0, decay = 0, span = 1;
  bool stairs = false;

  double operator()(std::int64_t step) const {
    double const s = double(step) - wait;
    if (s < 0) return first;
    if (up == Curve::log && s < top) return start + (1 - start) * std::log(s + 1) / std::log(top);
    if (up != Curve::flat && s < top) return between(start, 1, s / top, up);
    if (down == Curve::flat || s <= fall) return 1;
    return s < end ? between(1, floor, (s - fall) / (end - fall), down) : floor * tail(s - end);
  }
  bool operator==(Schedule const&) const = default;

 private:
  static double between(double from, double to, double x, Curve curve) {
    if (curve == Curve::line) return from + (to - from) * x;
    return to + (from - to) / 2 * (1 + std::cos(std::numbers::pi * x));
  }
  double tail(double steps) const {
    double const u = stairs ? std::floor(steps / span) : steps / span;
    return (1 + growth * u) / (1 + decay * u);
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

namespace deepspeed {

enum class Rise : unsigned char { log, linear };  // warmup_type

}  // namespace deepspeed

namespace detail {

/// DeepSpeed's schedulers take a first step before they start to count, and two steps to warm up.
constexpr Schedule risen(std::int64_t warmup, double from, deepspeed::Rise rise) {
  if (warmup < 1 || !(from >= 0 && from <= 1))
    throw Error("a warm-up of " + std::to_string(warmup) + " steps from " + std::to_string(from) +
                    " of the learning rate; use warmup >= 1 and 0 <= from <= 1",
                true);
  Schedule s;
  s.first = s.start = from;
  s.wait = 1;
  s.top = double(warmup < 2 ? 2 : warmup);
  s.up = rise == deepspeed::Rise::log ? Schedule::Curve::log : Schedule::Curve::line;
  return s;
}

}  // namespace detail

namespace deepspeed {

constexpr Schedule warmup(std::int64_t warmup = 1000, double from = 0, Rise rise = Rise::log) {
  return detail::risen(warmup, from, rise);
}

/// After the warm-up down a line to where it began.
constexpr Schedule warmup_decay(std::int64_t warmup, std::int64_t total, double from = 0,
                                Rise rise = Rise::log) {
  Schedule s = detail::risen(warmup, from, rise);
  detail::check_schedule(std::int64_t(s.top), total, from);
  s.floor = from;
  s.fall = s.top;
  s.end = double(total);
  s.down = Schedule::Curve::line;
  return s;
}

/// The cosine is a step ahead of the warm-up, and the first step's rate is 0 whatever `from` is.
constexpr Schedule warmup_cosine(std::int64_t warmup, std::int64_t total, double from = 0,
                                 double floor = 1e-4, Rise rise = Rise::log) {
  Schedule s = detail::risen(warmup, from, rise);
  detail::check_schedule(std::int64_t(s.top), total, floor);
  s.first = 0;
  s.floor = floor;
  s.fall = s.top - 1;
  s.end = double(total - 1);
  s.down = Schedule::Curve::cosine;
  return s;
}

/// Up a line in `rise` steps, down in `fall`, then 1 / (1 + decay u) of that, u in spans of `span`.
constexpr Schedule one_cycle(double from, std::int64_t rise = 2000, std::int64_t fall = 2000,
                             double decay = 0, std::int64_t span = 1) {
  if (!(from >= 0 && from <= 1) || rise < 1 || fall < 1 || !(decay >= 0) || span < 1)
    throw Error(
        "deepspeed::one_cycle(from, rise, fall, decay, span) needs 0 <= from <= 1, steps >= 1 and "
        "decay >= 0; got from " +
            std::to_string(from) + ", rise " + std::to_string(rise) + ", fall " +
            std::to_string(fall) + ", decay " + std::to_string(decay) + ", span " +
            std::to_string(span),
        true);
  Schedule s;
  s.start = s.floor = from;
  s.top = s.fall = double(rise);
  s.end = double(rise + fall);
  s.up = s.down = Schedule::Curve::line;
  s.decay = decay;
  s.span = double(span);
  return s;
}

/// 1 + growth u for ever, u in spans of `span` steps; with stairs in whole ones.
constexpr Schedule range_test(std::int64_t span = 2000, double growth = 1, bool stairs = false) {
  if (span < 1 || !(growth >= 0))
    throw Error("deepspeed::range_test(span, growth) needs span >= 1 and growth >= 0; got " +
                    std::to_string(span) + " and " + std::to_string(growth),
                true);
  Schedule s;
  s.down = Schedule::Curve::line;
  s.growth = growth;
  s.span = double(span);
  s.stairs = stairs;
  return s;
}

}  // namespace deepspeed

}  // namespace tessera::inline TESSERA_SETTING
