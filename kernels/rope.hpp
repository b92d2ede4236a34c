/// Rotary position embedding: pairs of a head's elements rotate by angles that grow with the
/// position.
/// Su et al., arXiv 2104.09864.
#pragma once

#include <tessera/core/direction.hpp>
#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/core/view.hpp>

#include <type_traits>
#include <utility>

namespace tessera::inline TESSERA_SETTING {

/// Which elements of a head are pair j.
enum class RopeLayout : unsigned char {
  half_split,  // j and j + width / 2: GPT-NeoX, and Llama as Hugging Face stores it
  interleaved  // 2 j and 2 j + 1: GPT-J, and Llama as its authors store it
};

}  // namespace tessera::inline TESSERA_SETTING

namespace tessera::inline TESSERA_SETTING::kernel {

/// Full turns of pair j from one position to the next, theta^(-2 j / width) / (2 pi), as a product
/// with a factor for every bit of j: a power function would be most of the kernel's work.
struct RopeSpeeds {
  static constexpr int bits = 10;
  static constexpr int most_width = 2 << bits;
  double factor[bits];

  TESSERA_BOTH static RopeSpeeds of(double theta, std::int64_t width) {
    RopeSpeeds s{};
    for (int b = 0; b < bits; ++b)
      s.factor[b] = std::pow(theta, -2.0 * double(1 << b) / double(width));
    return s;
  }
  [[gnu::always_inline]] TESSERA_BOTH double operator()(std::int64_t j) const {
    return product(j, std::make_integer_sequence<int, bits>{});
  }

 private:
  /// Without a loop, so that a loop around it vectorises.
  template <int... Bit>
  TESSERA_BOTH double product(std::int64_t j, std::integer_sequence<int, Bit...>) const {
    return 0.15915494309189533577 * (... * ((j >> Bit & 1) ? factor[Bit] : 1.0));  // 1 / (2 pi)
  }
};

namespace detail {

template <class W>
struct CosineAndSine {
  W cosine, sine;

  /// Of fewer than 2^19 turns.
  [[gnu::always_inline]] TESSERA_BOTH static CosineAndSine of(double turns) {
    if constexpr (std::is_same_v<W, double>) {
      double const angle = turns * 6.28318530717958647693;
      return {std::cos(angle), std::sin(angle)};
    } else {
      // The sum's low 32 bits are the fraction of a turn, rounded.
      double const shifted = turns * 0x1p32 + 0x1.8p52;
      Direction const d = direction(std::uint32_t(__builtin_bit_cast(std::uint64_t, shifted)));
      return {W(d.cosine) * W(0x1p-30), W(d.sine) * W(0x1p-30)};
    }
  }
};

}  // namespace detail

/// (y1, y2) = (x1 cos - x2 sin, x1 sin + x2 cos) for pair j of a head at position t, whose angle is
/// t theta^(-2 j / width). back: by the negative angle, which is the gradient.
///
/// Shapes  x, y [sequences, tokens, cols]; the position is the index of the token; the first
///         heads * width columns rotate, the others stay; y may be x
/// Types   T, angles and arithmetic in Wide<T>; in float within 3e-7 of |x1| + |x2|; tokens < 2^21
/// Moves   2 * sizeof(T) bytes per element, of those that stay only if y is not x; four heads at a
///         time share a cosine and a sine
template <class T, RopeLayout Layout = RopeLayout::half_split>
struct Rope {
  View<T> y;
  View<T const> x;
  std::int64_t heads, width;
  RopeSpeeds speeds;
  bool back = false;

  TESSERA_BOTH std::int64_t rows() const { return y.rows(); }
  TESSERA_BOTH std::int64_t cols() const { return width / 2; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    using Angle = detail::CosineAndSine<W>;
    constexpr bool split = Layout == RopeLayout::half_split;
    std::int64_t const all = width, step = split ? 1 : 2, gap = split ? all / 2 : 1;
    double const position = double(r % y.shape[-2]);
    RopeSpeeds const speed = speeds;
    T* const yr = y.row(r);
    T const* const xr = x.row(r);
    W const sign = back ? W(-1) : W(1);
    auto const rotate = [=](std::int64_t i, Angle at) {
      W const first = W(xr[i]), second = W(xr[i + gap]), sine = at.sine * sign;
      W const minus = at.sine * -sign;  // a difference beside a sum, some compilers fuse unasked
      yr[i] = T(first * at.cosine + second * minus);
      yr[i + gap] = T(second * at.cosine + first * sine);
    };
    std::int64_t h = 0;
    for (; h + 4 <= heads; h += 4)
      lane.each(all / 2, [=](std::int64_t j) {
        auto const at = Angle::of(position * speed(j));
        std::int64_t const i = h * all + j * step;
        rotate(i, at), rotate(i + all, at), rotate(i + 2 * all, at), rotate(i + 3 * all, at);
      });
    for (; h < heads; ++h)
      lane.each(all / 2, [=](std::int64_t j) {
        rotate(h * all + j * step, Angle::of(position * speed(j)));
      });
    std::int64_t const rest = heads * all;
    if (yr != xr) lane.each(y.cols() - rest, [=](std::int64_t i) { yr[rest + i] = xr[rest + i]; });
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
