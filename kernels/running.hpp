/// Running statistics: what the micro-batches of a step say of them, added to what they were.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/kernels/chunk.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// statistics += share * change
///
/// Shapes  statistics, change: n elements
/// Types   T, whatever weights are stored in
/// Moves   3 * sizeof(T) bytes per element
template <class T>
struct AddChange {
  T* statistics;
  T const* change;
  std::int64_t n;
  double share;

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(n); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    Chunk const chunk = Chunk::at(r, n);
    W const factor = W(share);
    lane.each(
        chunk.size, [=](std::int64_t, T& to, T const& by) { to = T(W(to) + factor * W(by)); },
        statistics + chunk.first, change + chunk.first);
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
