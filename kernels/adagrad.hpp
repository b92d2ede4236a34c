/// One Adagrad step over a range of a flat buffer, in one pass. Duchi, Hazan, Singer, JMLR 2011.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/kernels/chunk.hpp>
#include <tessera/kernels/weights.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// torch.optim.Adagrad's rule without lr_decay, with g' = g * gradient_scale + decay w:
///   s = s + g'^2
///   w = w - lr g' / (sqrt(s) + eps)
///
/// Shapes  w, s, g [n]
/// Types   s, g T; w Plain<T>, Split or Master
/// Moves   5 * sizeof(T) bytes per element: 20 in float, as much with bf16 weights and remainders,
///         22 with fp16 weights beside floats
template <class T, class Weights = Plain<T>>
struct Adagrad {
  Weights w;
  T* s;
  T const* g;
  std::int64_t n;
  double lr, eps, decay;
  double gradient_scale = 1;  // what clipping leaves of the gradient

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(n); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    Chunk const chunk = Chunk::at(r, n);
    Weights const weight = w.from(chunk.first);
    T* const sum = s + chunk.first;
    T const* const gradient = g + chunk.first;
    W const step = W(lr), least = W(eps), shrink = W(decay), scale = W(gradient_scale);
    lane.each(chunk.size, [=](std::int64_t i) {
      W const x = weight.get(i);
      W const d = W(gradient[i]) * scale + shrink * x;
      W const square = W(sum[i]) + d * d;
      sum[i] = T(square);
      weight.set(i, x - step * d / (sqrt_fast(square) + least));
    });
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
