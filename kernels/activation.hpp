/// Activations of the form x sigmoid(a(x)): GELU by the tanh formula, the one GPT-2 was trained
/// with, and SiLU. Hendrycks, Gimpel, arXiv 1606.08415.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/core/view.hpp>
#include <tessera/kernels/chunk.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// As tanh(u) = 2 sigmoid(2 u) - 1, gelu(x) = x (1 + tanh(u)) / 2 is x sigmoid(2 u) with
/// u = sqrt(2 / pi) (x + 0.044715 x^3).
struct GeluCurve {
  template <class W>
  TESSERA_BOTH static W a(W x) {
    return 2 * k<W> * (x + cubic<W> * x * x * x);
  }
  template <class W>
  TESSERA_BOTH static W slope_of_a(W x) {
    return 2 * k<W> + 6 * k<W> * cubic<W> * x * x;
  }

 private:
  template <class W>
  static constexpr W k = W(0.79788456080286535588);  // sqrt(2 / pi)
  template <class W>
  static constexpr W cubic = W(0.044715);
};

/// x sigmoid(x)
struct SiluCurve {
  template <class W>
  TESSERA_BOTH static W a(W x) {
    return x;
  }
  template <class W>
  TESSERA_BOTH static W slope_of_a(W) {
    return 1;
  }
};

/// An activation at one place.
template <class Curve, class W>
struct ActivationAt {
  W x;
  W gate;  // sigmoid(a(x))

  TESSERA_BOTH static ActivationAt of(W x) { return {x, 1 / (1 + exp_fast(-Curve::a(x)))}; }
  TESSERA_BOTH W value() const { return x * gate; }
  TESSERA_BOTH W slope() const { return gate + x * gate * (1 - gate) * Curve::slope_of_a(x); }
};

/// y = f(x), slope = f'(x), so that the gradient is dx = dy * slope.
///
/// Shapes  y, slope, x: the same, any; y or slope may be x; slope may be null, then it is not made
/// Types   T, arithmetic in Wide<T>; in float within 1e-6 of f, 2e-6 of its slope
/// Moves   3 * sizeof(T) bytes per element, 2 * sizeof(T) without slope
template <class T, class Curve>
struct Activation {
  View<T> y, slope;
  View<T const> x;

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(y.count()); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using At = ActivationAt<Curve, Wide<T>>;
    Chunk const chunk = Chunk::at(r, y.count());
    T* const out = y.at + chunk.first;
    T const* const in = x.at + chunk.first;
    if (slope.at == nullptr) {
      lane.each(
          chunk.size, [](std::int64_t, T& yi, T const& xi) { yi = T(At::of(Wide<T>(xi)).value()); },
          out, in);
    } else {
      T* const derivative = slope.at + chunk.first;
      lane.each(
          chunk.size,
          [](std::int64_t, T& yi, T& si, T const& xi) {
            At const f = At::of(Wide<T>(xi));
            yi = T(f.value());
            si = T(f.slope());
          },
          out, derivative, in);
    }
  }
};

template <class T>
using Gelu = Activation<T, GeluCurve>;
template <class T>
using Silu = Activation<T, SiluCurve>;

}  // namespace tessera::inline TESSERA_SETTING::kernel
