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
/// Types   m, g T; w Plain<T>, Split or Master; options are double, because 1 - 0.99f is not 0.01f
/// Moves   5 * sizeof(T) bytes per element: 20 in float, as much with bf16 weights and remainders,
///         22 with fp16 weights beside floats
template <class T, class Weights = Plain<T>>
struct Lion {
  Weights w;
  T* m;
  T const* g;
  std::int64_t n;
  double lr, beta1, beta2, decay;
  double gradient_scale = 1;  // what clipping leaves of the gradient

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(n); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    Chunk const chunk = Chunk::at(r, n);
    Weights const weight = w.from(chunk.first);
    T* const momentum = m + chunk.first;
    T const* const gradient = g + chunk.first;
    W const keep = W(1 - lr * decay), step = W(lr), scale = W(gradient_scale);
    W const gain1 = W(1 - beta1), gain2 = W(1 - beta2);
    lane.each(chunk.size, [=](std::int64_t i) {
      W const mean = W(momentum[i]), apart = W(gradient[i]) * scale - mean;
      W const direction = mean + gain1 * apart;
      momentum[i] = T(mean + gain2 * apart);
      weight.set(i, weight.get(i) * keep - step * (W(direction > 0) - W(direction < 0)));
    });
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
