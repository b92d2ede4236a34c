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
    Weights const weight = w.from(chunk.first);
    T const* const from = change + chunk.first;
    W const factor = W(share);
    each_weight(lane, weight, chunk.size, [=](std::int64_t i, auto const draw) {
      weight.set(i, weight.get(i) + factor * W(from[i]), draw.of(0));
    });
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
