/// One Lion step over a range of a flat buffer, in one pass. Chen et al., arXiv 2302.06675.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/kernels/chunk.hpp>
#include <tessera/kernels/weights.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// Algorithm 2 of the paper, with g' = g * gradient_scale:
///   w = w (1 - lr decay) - lr sign(beta1 m + (1 - beta1) g'), sign(0) = 0
///   m = beta2 m + (1 - beta2) g'
///
/// Shapes  w, m, g [n]
/// Types   g T; w Plain<T>, Split, Master or Rounded; m StateOf<T, Weights>; options are double,
///         because 1 - 0.99f is not 0.01f
/// Moves   5 * sizeof(T) bytes per element: 20 in float, as much with bf16 weights and remainders,
///         22 with fp16 weights beside floats, 12 with Rounded ones
template <class T, class Weights = Plain<T>>
struct Lion {
  Weights w;
  StateOf<T, Weights> m;
  T const* g;
  std::int64_t n;
  double lr, beta1, beta2, decay;
  double gradient_scale = 1;  // what clipping leaves of the gradient

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(n); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    using State = StateOf<T, Weights>;
    Chunk const chunk = Chunk::at(r, n);
    W const keep = W(1 - lr * decay), step = W(lr), scale = W(gradient_scale);
    W const gain1 = W(1 - beta1), gain2 = W(1 - beta2);
    auto const update = [=](Weights weight, auto const draw, auto& mi, T const& gi) {
      State const momentum{&mi};
      W const mean = momentum.get(0), apart = W(gi) * scale - mean;
      W const direction = mean + gain1 * apart;
      momentum.set(0, mean + gain2 * apart, draw.of(1));
      W const sign = W(direction > 0) - W(direction < 0);
      weight.set(0, weight.get(0) * keep - step * sign, draw.of(0));
    };
    each_weight(lane, w.from(chunk.first), chunk.size, update, m.at + chunk.first, g + chunk.first);
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
