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
    using State = StateOf<T, Weights>;
    Chunk const chunk = Chunk::at(r, n);
    W const keep = W(momentum), shrink = W(decay), scale = W(gradient_scale);
    // Both rules are one sum, so the loop has no branch.
    W const ahead = W(nesterov ? lr : 0), behind = W(nesterov ? lr * momentum : lr);
    auto const update = [=](Weights weight, auto const draw, auto& bi, T const& gi) {
      State const buffer{&bi};
      W const x = weight.get(0);
      W const d = W(gi) * scale + shrink * x;
      W const mean = keep * buffer.get(0) + d;
      buffer.set(0, mean, draw.of(1));
      weight.set(0, x - (ahead * d + behind * mean), draw.of(0));
    };
    each_weight(lane, w.from(chunk.first), chunk.size, update, b.at + chunk.first, g + chunk.first);
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
