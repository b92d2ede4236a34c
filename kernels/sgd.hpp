/// One step of stochastic gradient descent with momentum over a range of a flat buffer, in one
/// pass. Sutskever, Martens, Dahl, Hinton, ICML 2013.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/kernels/chunk.hpp>
#include <tessera/kernels/weights.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// torch.optim.SGD's rule without dampening, with g' = g * gradient_scale + decay w:
///   b = momentum b + g'
///   w = w - lr b, or with nesterov w - lr (g' + momentum b)
///
/// Shapes  w, b, g [n]
/// Types   g T; w Plain<T>, Split, Master or Rounded; b StateOf<T, Weights>
/// Moves   5 * sizeof(T) bytes per element: 20 in float, as much with bf16 weights and remainders,
///         22 with fp16 weights beside floats, 12 with Rounded ones
template <class T, class Weights = Plain<T>>
struct Sgd {
  Weights w;
  StateOf<T, Weights> b;
  T const* g;
  std::int64_t n;
  double lr, momentum, decay;
  bool nesterov = false;
  double gradient_scale = 1;  // what clipping leaves of the gradient

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(n); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    Chunk const chunk = Chunk::at(r, n);
    Weights const weight = w.from(chunk.first);
    StateOf<T, Weights> const buffer = b.from(chunk.first);
    T const* const gradient = g + chunk.first;
    W const keep = W(momentum), shrink = W(decay), scale = W(gradient_scale);
    // Both rules are one sum, so the loop has no branch.
    W const ahead = W(nesterov ? lr : 0), behind = W(nesterov ? lr * momentum : lr);
    each_weight(lane, weight, chunk.size, [=](std::int64_t i, auto const draw) {
      W const x = weight.get(i);
      W const d = W(gradient[i]) * scale + shrink * x;
      W const mean = keep * buffer.get(i) + d;
      buffer.set(i, mean, draw.of(1));
      weight.set(i, x - (ahead * d + behind * mean), draw.of(0));
    });
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
