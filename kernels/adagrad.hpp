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
    using State = StateOf<T, Weights>;
    Chunk const chunk = Chunk::at(r, n);
    W const step = W(lr), least = W(eps), shrink = W(decay), scale = W(gradient_scale);
    auto const update = [=](Weights weight, auto const draw, auto& si, T const& gi) {
      State const sum{&si};
      W const x = weight.get(0);
      W const d = W(gi) * scale + shrink * x;
      W const square = sum.get(0) + d * d;
      sum.set(0, square, draw.of(1));
      weight.set(0, x - step * d / (sqrt_fast(square) + least), draw.of(0));
    };
    each_weight(lane, w.from(chunk.first), chunk.size, update, s.at + chunk.first, g + chunk.first);
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
