/// How fp16's loss scale follows overflows: DeepSpeed's DynamicLossScaler, step for step.
/// Micikevicius et al., arXiv 1710.03740.
#pragma once

#include <tessera/core/dtype.hpp>
#include <tessera/core/error.hpp>
#include <tessera/run/options.hpp>

#include <algorithm>
#include <cmath>

namespace tessera::inline TESSERA_SETTING {

/// The state of a scale, as a value: what a checkpoint holds of it. Steps count from 0, those that
/// overflowed included.
struct LossScaler {
  double scale = 1;                 // of the next step
  std::int64_t step = 0;            // the next one
  std::int64_t last_overflow = -1;  // the last step that overflowed
  int hysteresis = 1;               // the scale halves at an overflow while this is 1
  std::int64_t skipped = 0;         // steps that overflowed

  static LossScaler of(LossScale const& options) {
    return {.scale = std::ldexp(1.0, options.initial_scale_power),
            .hysteresis = options.hysteresis};
  }

  /// A static scale stays as it is; DeepSpeed skips with it for ever.
  double factor(LossScale const& options) const {
    return options.loss_scale > 0 ? options.loss_scale : scale;
  }
  /// The scale cannot follow another overflow.
  bool exhausted(LossScale const& options) const {
    return options.loss_scale <= 0 && halves(options) && scale == options.min_loss_scale;
  }
  /// After a step. Not for an overflow of an exhausted scale.
  void update(LossScale const& options, bool overflow) {
    skipped += overflow;
    if (options.loss_scale > 0) return;
    if (overflow)
      fall(options);
    else
      rise(options);
    ++step;
  }
  bool operator==(LossScaler const&) const = default;

 private:
  bool halves(LossScale const& options) const { return options.hysteresis == 1 || hysteresis == 1; }

  void fall(LossScale const& options) {
    if (halves(options))
      scale = std::max(scale / 2, options.min_loss_scale);
    else
      --hysteresis;
    last_overflow = step;
  }
  void rise(LossScale const& options) {
    std::int64_t const stable = step - last_overflow - 1;
    bool const doubles = stable > 0 && stable % options.loss_scale_window == 0;
    if (doubles || options.consecutive_hysteresis) hysteresis = options.hysteresis;
    if (doubles) scale *= 2;
  }
};

/// Options that mean nothing, or nothing to this precision. Every rank has the same.
inline void check_loss_scale(LossScale const& s, DType low) {
  auto const refuse = [](std::string const& why) { throw Error("Options::fp16" + why, true); };
  auto const text = [](auto x) { return std::to_string(x); };
  if (low != DType::fp16 && s != LossScale{})
    refuse(" scales the loss of Precision<fp16> only; add that policy, or leave these options out");
  if (s.loss_scale != 0 && !(s.loss_scale >= 0x1p-126 && s.loss_scale <= 0x1p127))
    refuse(".loss_scale is " + text(s.loss_scale) + "; use 0 (dynamic) or a positive float");
  if (s.loss_scale > 0) return;
  if (s.initial_scale_power < 0 || s.initial_scale_power > 127)
    refuse(".initial_scale_power is " + text(s.initial_scale_power) +
           "; use 0 to 127, what a float holds");
  if (s.loss_scale_window < 1)
    refuse(".loss_scale_window is " + text(s.loss_scale_window) + " steps; use at least 1");
  if (s.hysteresis < 1) refuse(".hysteresis is " + text(s.hysteresis) + "; use at least 1");
  if (!(s.min_loss_scale >= 0x1p-126 && s.min_loss_scale <= std::ldexp(1.0, s.initial_scale_power)))
    refuse(".min_loss_scale is " + text(s.min_loss_scale) +
           "; use a positive float, at most 2 to the initial_scale_power");
}

}  // namespace tessera::inline TESSERA_SETTING
