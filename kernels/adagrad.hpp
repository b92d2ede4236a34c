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
/// Types   g T; w Plain<T>, Split, Master or Rounded; s StateOf<T, Weights>
/// Moves   5 * sizeof(T) bytes per element: 20 in float, as much with bf16 weights and remainders,
///         22 with fp16 weights beside floats, 12 with Rounded ones
template <class T, class Weights = Plain<T>>
struct Adagrad {
  Weights w;
  StateOf<T, Weights> s;
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
    StateOf<T, Weights> const sum = s.from(chunk.first);
    T const* const gradient = g + chunk.first;
    W const step = W(lr), least = W(eps), shrink = W(decay), scale = W(gradient_scale);
    each_weight(lane, weight, chunk.size, [=](std::int64_t i, auto const draw) {
      W const x = weight.get(i);
      W const d = W(gradient[i]) * scale + shrink * x;
      W const square = sum.get(i) + d * d;
      sum.set(i, square, draw.of(1));
      weight.set(i, x - step * d / (sqrt_fast(square) + least), draw.of(0));
    });
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
