/// Token and position tables: rows looked up, and gradients added back into the tables.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/core/view.hpp>
#include <tessera/kernels/chunk.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// y[r, :] = table[tokens[r], :]
///
/// Shapes  y [rows, cols] · tokens [rows] · table [vocabulary, cols]
/// Types   y T, table S
/// Moves   cols * (sizeof(T) + sizeof(S)) + 4 bytes per row
template <class T, class S = T>
struct EmbeddingForward {
  View<T> y;
  View<std::int32_t const> tokens;
  View<S const> table;

  TESSERA_BOTH std::int64_t rows() const { return y.rows(); }
  TESSERA_BOTH std::int64_t cols() const { return y.cols(); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    T* const yr = y.row(r);
    S const* const found = table.row(tokens[r]);
    lane.each(y.cols(), [=](std::int64_t c) { yr[c] = T(Wide<S>(found[c])); });
  }
};

/// dtable[tokens[r], :] (+)= dy[r, :], for r in order, so that a token that comes twice always sums
/// the same way. Not accumulating zeroes the table first.
///
/// Shapes  dtable [vocabulary, cols] · dy [rows, cols] · tokens [rows]; a row of the kernel is a
///         tile of columns
/// Types   dy T, dtable Wide<T>
/// Moves   rows * cols * (sizeof(T) + 2 * sizeof(Wide<T>)) bytes, and the table once if it is
/// zeroed
template <class T>
struct EmbeddingBackward {
  View<Wide<T>> dtable;
  View<T const> dy;
  View<std::int32_t const> tokens;
  bool accumulate;

  TESSERA_BOTH std::int64_t rows() const { return Columns::count(dy.cols()); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t tile) const {
    Columns const columns = Columns::at(tile, dy.cols());
    if (!accumulate)
      for (std::int64_t v = 0; v < dtable.rows(); ++v) {
        Wide<T>* const to = dtable.row(v) + columns.first;
        lane.each(columns.size, [=](std::int64_t c) { to[c] = 0; });
      }
    for (std::int64_t r = 0; r < dy.rows(); ++r) {
      T const* const from = dy.row(r) + columns.first;
      Wide<T>* const to = dtable.row(tokens[r]) + columns.first;
      lane.each(columns.size, [=](std::int64_t c) { to[c] += Wide<T>(from[c]); });
    }
  }
};

/// dtable[tokens[i], :] += dy[places[i], :], for i in order, where equal tokens stand side by side:
/// each of their runs is summed on its own. With places ascending in a run these are the sums of
/// EmbeddingBackward, in its order.
///
/// Shapes  dtable [vocabulary, cols] · dy [rows, cols] · tokens, places [rows]; a row of the kernel
///         is a tile of columns at a place in tokens, and does nothing unless a run begins there
/// Types   dy T, dtable Wide<T>
/// Moves   rows * cols * sizeof(T) bytes, 2 * cols * sizeof(Wide<T>) per run
template <class T>
struct EmbeddingRuns {
  View<Wide<T>> dtable;
  View<T const> dy;
  std::int32_t const *tokens, *places;

  TESSERA_BOTH std::int64_t rows() const { return dy.rows() * Columns::count(dy.cols()); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    std::int64_t const cols = dy.cols(), tiles = Columns::count(cols), first = r / tiles;
    std::int32_t const token = tokens[first];
    if (first > 0 && tokens[first - 1] == token) return;
    std::int64_t last = first + 1;
    while (last < dy.rows() && tokens[last] == token) ++last;
    Columns const columns = Columns::at(r % tiles, cols);
    std::int32_t const* const place = places;
    T const* const from = dy.at + columns.first;
    Wide<T>* const to = dtable.row(token) + columns.first;
    lane.each(columns.size, [=](std::int64_t c) {
      Wide<T> sum = to[c];
      for (std::int64_t i = first; i < last; ++i) sum += Wide<T>(from[place[i] * cols + c]);
      to[c] = sum;
    });
  }
};

/// y[b, t, :] = x[b, t, :] + table[t, :]; y may be x.
///
/// Shapes  y, x [sequences, tokens, cols] · table [positions >= tokens, cols]
/// Types   y, x T, table S; sums in Wide<T>
/// Moves   2 * cols * sizeof(T) bytes per token; the table is read once per sequence
template <class T, class S = T>
struct PositionForward {
  View<T> y;
  View<T const> x;
  View<S const> table;

  TESSERA_BOTH std::int64_t rows() const { return y.rows(); }
  TESSERA_BOTH std::int64_t cols() const { return y.cols(); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    T* const yr = y.row(r);
    T const* const xr = x.row(r);
    S const* const position = table.row(r % y.shape[-2]);
    lane.each(y.cols(), [=](std::int64_t c) { yr[c] = T(Wide<T>(xr[c]) + Wide<T>(position[c])); });
  }
};

/// dtable[t, :] (+)= sum_b dy[b, t, :], b in order. Positions past the last token get zero, or stay
/// when accumulating.
///
/// Shapes  dtable [positions >= tokens, cols] · dy [sequences, tokens, cols]; a row of the kernel
/// is
///         a position
/// Types   dy T, dtable Wide<T>
/// Moves   sequences * tokens * cols * sizeof(T) bytes; dtable's row stays in cache
template <class T>
struct PositionBackward {
  View<Wide<T>> dtable;
  View<T const> dy;
  bool accumulate;

  TESSERA_BOTH std::int64_t rows() const { return dtable.rows(); }
  TESSERA_BOTH std::int64_t cols() const { return dtable.cols(); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t position) const {
    std::int64_t const tokens = dy.shape[-2], cols = dy.cols();
    Wide<T>* const to = dtable.row(position);
    if (!accumulate) lane.each(cols, [=](std::int64_t c) { to[c] = 0; });
    if (position >= tokens) return;
    for (std::int64_t r = position; r < dy.rows(); r += tokens) {
      T const* const from = dy.row(r);
      lane.each(cols, [=](std::int64_t c) { to[c] += Wide<T>(from[c]); });
    }
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
