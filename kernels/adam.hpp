/// One Adam or AdamW step over a range of a flat buffer, in one pass. Kingma, Ba, arXiv 1412.6980;
/// Loshchilov, Hutter, arXiv 1711.05101.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/kernels/chunk.hpp>
#include <tessera/kernels/weights.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// Adam adds decay w to the gradient, AdamW takes it from the weight beside the step:
///   g' = g * gradient_scale (+ decay w)
///   m = m + (1 - beta1) (g' - m)
///   v = beta2 v + (1 - beta2) g'^2
///   w = w (1 - lr decay, or 1) - lr correction1 m / (sqrt(v) sqrt(correction2) + eps)
/// as torch.optim.Adam and torch.optim.AdamW do.
///
/// Shapes  w, m, v, g [n]
/// Types   g T; w Plain<T>, Split, Master or Rounded, m, v StateOf<T, Weights>; options double,
///         because 1 - 0.999f is not 0.001f
/// Moves   7 * sizeof(T) bytes per element: 28 in float, as much with bf16 weights and remainders,
///         30 with fp16 weights beside floats, 16 with Rounded ones
template <class T, class Weights = Plain<T>, bool Decoupled = false>
struct Adam {
  Weights w;
  StateOf<T, Weights> m, v;
  T const* g;
  std::int64_t n;
  double lr, beta1, beta2, eps, decay;
  double correction1, correction2;  // 1 / (1 - beta^t) at step t, counted from 1
  double gradient_scale = 1;        // what clipping leaves of the gradient

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(n); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    using State = StateOf<T, Weights>;
    Chunk const chunk = Chunk::at(r, n);
    W const joined = W(decay), keep = W(Decoupled ? 1 - lr * decay : 1);
    W const step = W(lr * correction1);
    W const gain1 = W(1 - beta1), keep2 = W(beta2), gain2 = W(1 - beta2);
    W const root = W(std::sqrt(correction2)), least = W(eps), scale = W(gradient_scale);
    auto const update = [=](Weights weight, auto const draw, auto& mi, auto& vi, T const& gi) {
      State const first{&mi}, second{&vi};
      W const x = weight.get(0);
      W d = W(gi) * scale;
      if constexpr (!Decoupled) d += joined * x;
      W const before = first.get(0), mean = before + gain1 * (d - before);
      W const square = keep2 * second.get(0) + gain2 * d * d;
      first.set(0, mean, draw.of(1));
      second.set(0, square, draw.of(2));
      weight.set(0, x * keep - step * mean / (sqrt_fast(square) * root + least), draw.of(0));
    };
    each_weight(lane, w.from(chunk.first), chunk.size, update, m.at + chunk.first,
                v.at + chunk.first, g + chunk.first);
  }
};

template <class T, class Weights = Plain<T>>
using AdamW = Adam<T, Weights, true>;

}  // namespace tessera::inline TESSERA_SETTING::kernel
