/// How optimizers read and write weights: as they are stored, exactly from two halves, exactly
/// beside what is stored, or in bf16 alone; and states beside such weights.
#pragma once

#include <tessera/core/dtype.hpp>
#include <tessera/kernels/rounding.hpp>

#include <cstdint>
#include <type_traits>

namespace tessera::inline TESSERA_SETTING::kernel {

/// In place of a Draw where nothing is drawn: what is stored is the nearest.
struct Nearest {
  TESSERA_BOTH constexpr Nearest of(int) const { return {}; }
};

template <class T>
struct Plain {
  T* at;

  TESSERA_BOTH Plain(T* weights = nullptr) : at(weights) {}
  TESSERA_BOTH Wide<T> get(std::int64_t i) const { return Wide<T>(at[i]); }
  TESSERA_BOTH void set(std::int64_t i, Wide<T> x, Nearest = {}) const { at[i] = T(x); }
  TESSERA_BOTH Plain from(std::int64_t first) const { return {at + first}; }
};

/// A float as the nearest bf16 and what is missing to it: its bits are those of the bf16 shifted
/// up, plus a signed remainder. No bit is lost, so a weight of 2 + 2 bytes is as exact as with a
/// float copy beside it, in 4 instead of 6. A tie is rounded up in magnitude.
struct Split {
  bf16* at;
  std::int16_t* remainder;

  TESSERA_BOTH static constexpr float join(bf16 high, std::int16_t low) {
    return tessera::detail::number((std::uint32_t(high.bits) << 16) +
                                   std::uint32_t(std::int32_t(low)));
  }
  TESSERA_BOTH static constexpr bf16 high(float x) {
    bf16 h{};
    h.bits = std::uint16_t((tessera::detail::bits(x) + 0x8000u) >> 16);
    return h;
  }
  TESSERA_BOTH static constexpr std::int16_t low(float x) {
    return std::int16_t(tessera::detail::bits(x) & 0xffffu);
  }

  TESSERA_BOTH float get(std::int64_t i) const { return join(at[i], remainder[i]); }
  TESSERA_BOTH void set(std::int64_t i, float x, Nearest = {}) const {
    at[i] = high(x);
    remainder[i] = low(x);
  }
  TESSERA_BOTH Split from(std::int64_t first) const { return {at + first, remainder + first}; }
};

/// An fp16 weight and the float that it is rounded from. Its exponent is shorter than a float's, so
/// no remainder could make it exact: 2 + 4 bytes. Only the float is read.
struct Master {
  fp16* at;
  float* exact;

  TESSERA_BOTH float get(std::int64_t i) const { return exact[i]; }
  TESSERA_BOTH void set(std::int64_t i, float x, Nearest = {}) const {
    exact[i] = x;
    at[i] = fp16(x);
  }
  TESSERA_BOTH Master from(std::int64_t first) const { return {at + first, exact + first}; }
};

/// An optimizer's state beside such weights.
template <class T, class Weights>
using StateOf = std::conditional_t<std::is_same_v<Weights, Rounded>, Rounded, Plain<T>>;

/// f(weight, draw, p[i]...) for all i < n: weight.get(0) and set(0, ...) are of element i, and what
/// a step writes there, it writes with draw.of(0), of(1), of(2).
template <Lane L, class T, class F, class... P>
TESSERA_BOTH void each_weight(L const& lane, Plain<T> w, std::int64_t n, F f, P*... p) {
  lane.each(
      n, [=](std::int64_t, T& x, P&... more) { f(Plain<T>(&x), Nearest{}, more...); }, w.at, p...);
}
template <Lane L, class F, class... P>
TESSERA_BOTH void each_weight(L const& lane, Split w, std::int64_t n, F f, P*... p) {
  lane.each(
      n,
      [=](std::int64_t, bf16& x, std::int16_t& rest, P&... more) {
        f(Split{&x, &rest}, Nearest{}, more...);
      },
      w.at, w.remainder, p...);
}
template <Lane L, class F, class... P>
TESSERA_BOTH void each_weight(L const& lane, Master w, std::int64_t n, F f, P*... p) {
  lane.each(
      n,
      [=](std::int64_t, fp16& x, float& exact, P&... more) {
        f(Master{&x, &exact}, Nearest{}, more...);
      },
      w.at, w.exact, p...);
}
template <Lane L, class F, class... P>
TESSERA_BOTH void each_weight(L const& lane, Rounded w, std::int64_t n, F f, P*... p) {
  w.noise.each(lane, n, [=](std::int64_t i, Draw draw) { f(Rounded{w.at + i}, draw, p[i]...); });
}

}  // namespace tessera::inline TESSERA_SETTING::kernel
