/// Running statistics: what the micro-batches of a step say of them, added to what they were.
#pragma once

#include <tessera/kernels/chunk.hpp>
#include <tessera/kernels/weights.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// w += share * change
///
/// Shapes  w, change: n elements
/// Types   change T; w Plain<T>, Split, Master or Rounded
/// Moves   3 * sizeof(T) bytes per element
template <class T, class Weights = Plain<T>>
struct AddChange {
  Weights w;
  T const* change;
  std::int64_t n;
  double share;

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(n); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    Chunk const chunk = Chunk::at(r, n);
    W const factor = W(share);
    each_weight(
        lane, w.from(chunk.first), chunk.size,
        [=](Weights weight, auto const draw, T const& ci) {
          weight.set(0, weight.get(0) + factor * W(ci), draw.of(0));
        },
        change + chunk.first);
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
