/// One LAMB step in two passes over a range of a flat buffer: the norms of whole tensors stand
/// between them. You et al., arXiv 1904.00962.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/kernels/chunk.hpp>
#include <tessera/kernels/weights.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// u = m' / (sqrt(v') + eps) + decay w, m' and v' the corrected moments: what both passes compute,
/// for the second to read no more than it has to and no buffer to hold it between them.
///
/// correction1, correction2: 1 / (1 - beta^t) at step t, counted from 1
template <class W>
struct LambUpdate {
  W correction = 0, root = 0, least = 0, shrink = 0;

  LambUpdate() = default;
  LambUpdate(double correction1, double correction2, double eps, double decay)
      : correction(W(correction1)),
        root(W(std::sqrt(correction2))),
        least(W(eps)),
        shrink(W(decay)) {}
  TESSERA_BOTH W operator()(W mean, W square, W weight) const {
    return correction * mean / (sqrt_fast(square) * root + least) + shrink * weight;
  }
};

/// The first pass, with g' = g * gradient_scale:
///   m = m + (1 - beta1) (g' - m)
///   v = beta2 v + (1 - beta2) g'^2
///   partial[2 k], partial[2 k + 1] = sums of w^2 and u^2 over elements [256 k, 256 k + 256)
///
/// Shapes  w, m, v, g [n] · partial [2 ceil(n / 256)]
/// Types   m, v, g T; w Plain<T> or Split; squares in Wide<T>, partial double
/// Moves   6 * sizeof(T) bytes per element: 24 in float
template <class T, class Weights = Plain<T>>
struct LambMoments {
  static constexpr std::int64_t piece = 256;

  double* partial;
  Weights w;
  T *m, *v;
  T const* g;
  std::int64_t n;
  double beta1, beta2;
  LambUpdate<Wide<T>> update;
  double gradient_scale = 1;  // what clipping leaves of the gradient

  TESSERA_BOTH std::int64_t rows() const { return Piece<piece>::count(n); }
  TESSERA_BOTH static constexpr std::int64_t cols() { return piece; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    Piece<piece> const here = Piece<piece>::at(r, n);
    Weights const weight = w.from(here.first);
    T *const first = m + here.first, *const second = v + here.first;
    T const* const gradient = g + here.first;
    W const gain1 = W(1 - beta1), keep2 = W(beta2), gain2 = W(1 - beta2), scale = W(gradient_scale);
    LambUpdate<W> const make = update;
    lane.each(
        here.size,
        [=](std::int64_t, T& mi, T& vi, T const& gi) {
          W const d = W(gi) * scale;
          mi = T(W(mi) + gain1 * (d - W(mi)));
          vi = T(keep2 * W(vi) + gain2 * d * d);
        },
        first, second, gradient);
    W const weights = lane.sum(here.size, [=](std::int64_t i) {
      W const x = weight.get(i);
      return x * x;
    });
    W const updates = lane.sum(here.size, [=](std::int64_t i) {
      W const u = make(W(first[i]), W(second[i]), weight.get(i));
      return u * u;
    });
    double* const to = partial + 2 * r;
    lane.once([=] {
      to[0] = double(weights);
      to[1] = double(updates);
    });
  }
};

/// The second pass, with |w|^2 and |u|^2 of the whole tensor, as a kernel has left them in sums:
///   w = w - rate ratio u, ratio = |w| / |u| within [least, most], 1 if either is 0
///
/// Shapes  w, m, v [n] · sums [2]
/// Types   m, v T; w Plain<T> or Split
/// Moves   4 * sizeof(T) bytes per element: 16 in float, as much with bf16 weights and remainders
template <class T, class Weights = Plain<T>>
struct LambStep {
  Weights w;
  T const *m, *v;
  std::int64_t n;
  double const* sums;
  double rate, least, most;
  LambUpdate<Wide<T>> update;

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(n); }
  TESSERA_BOTH double ratio() const {
    if (sums[0] == 0 || sums[1] == 0) return 1;
    double const free = std::sqrt(sums[0] / sums[1]);
    return free < least ? least : most < free ? most : free;
  }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    Chunk const chunk = Chunk::at(r, n);
    W const size = W(rate * ratio());
    LambUpdate<W> const make = update;
    each_weight(
        lane, w.from(chunk.first), chunk.size,
        [=](Weights weight, Nearest, T const& mi, T const& vi) {
          W const x = weight.get(0);
          weight.set(0, x - size * make(W(mi), W(vi), x));
        },
        m + chunk.first, v + chunk.first);
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
