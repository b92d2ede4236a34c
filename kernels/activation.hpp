/// GELU by the tanh formula, the one GPT-2 was trained with. Hendrycks, Gimpel, arXiv 1606.08415.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/core/view.hpp>
#include <tessera/kernels/chunk.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// y = gelu(x), slope = gelu'(x), so that the gradient is dx = dy * slope. As tanh(u) =
/// 2 sigmoid(2 u) - 1, x (1 + tanh(u)) / 2 is x * sigmoid(2 u).
///
/// Shapes  y, slope, x: the same, any; y or slope may be x; slope may be null, then it is not made
/// Types   T, arithmetic in Wide<T>; in float within 1e-6 of gelu, 2e-6 of its slope
/// Moves   3 * sizeof(T) bytes per element, 2 * sizeof(T) without slope
template <class T>
struct Gelu {
  View<T> y, slope;
  View<T const> x;

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(y.count()); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    Chunk const chunk = Chunk::at(r, y.count());
    T* const out = y.at + chunk.first;
    T const* const in = x.at + chunk.first;
    if (slope.at == nullptr) {
      lane.each(chunk.size, [=](std::int64_t i) {
        Wide<T> const v = Wide<T>(in[i]);
        out[i] = T(v * gate(v));
      });
    } else {
      T* const derivative = slope.at + chunk.first;
      lane.each(chunk.size, [=](std::int64_t i) {
        Wide<T> const v = Wide<T>(in[i]), s = gate(v);
        Wide<T> const two_du = 2 * k + 6 * k * cubic * v * v;
        out[i] = T(v * s);
        derivative[i] = T(s + v * s * (1 - s) * two_du);
      });
    }
  }

 private:
  static constexpr Wide<T> k = Wide<T>(0.79788456080286535588);  // sqrt(2 / pi)
  static constexpr Wide<T> cubic = Wide<T>(0.044715);

  /// sigmoid(2 u), u = k (v + cubic v^3)
  TESSERA_BOTH static Wide<T> gate(Wide<T> v) {
    return 1 / (1 + exp_fast(-2 * k * (v + cubic * v * v * v)));
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
