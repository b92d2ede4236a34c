/// Sums over ranks and over a buffer, in an order that no layout and no thread count changes.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/kernels/chunk.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// out[i] (+)= ((from[0][i] + from[1][i]) + from[2][i]) + ...: rank order, whoever sums.
///
/// Shapes  out, from[0 .. ranks) [n]; out may be one of from
/// Types   T, sums in Wide<T>
/// Moves   (ranks + 1) * sizeof(T) bytes per element, one sizeof(T) more when accumulating
template <class T>
struct SumRanks {
  static constexpr int most = 64;

  T* out;
  T const* from[most];
  int ranks;
  std::int64_t n;
  bool accumulate = false;

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(n); }

  /// Up to eight ranks are summed in one loop each; a loop over ranks inside would not vectorise.
  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    Chunk const chunk = Chunk::at(r, n);
    switch (ranks) {
      case 1: return write(lane, chunk, Sum<1>(from, chunk.first));
      case 2: return write(lane, chunk, Sum<2>(from, chunk.first));
      case 3: return write(lane, chunk, Sum<3>(from, chunk.first));
      case 4: return write(lane, chunk, Sum<4>(from, chunk.first));
      case 5: return write(lane, chunk, Sum<5>(from, chunk.first));
      case 6: return write(lane, chunk, Sum<6>(from, chunk.first));
      case 7: return write(lane, chunk, Sum<7>(from, chunk.first));
      case 8: return write(lane, chunk, Sum<8>(from, chunk.first));
      default: return many(lane, chunk);
    }
  }

 private:
  using W = Wide<T>;

  /// The sum of the first Ranks buffers at an element of a chunk.
  template <int Ranks>
  struct Sum {
    Sum<Ranks - 1> before;
    T const* last;
    TESSERA_BOTH Sum(T const* const* from, std::int64_t first)
        : before(from, first), last(from[Ranks - 1] + first) {}
    TESSERA_BOTH W operator()(std::int64_t i) const { return before(i) + W(last[i]); }
  };
  template <int Ranks>
  requires(Ranks == 1) struct Sum<Ranks> {
    T const* last;
    TESSERA_BOTH Sum(T const* const* from, std::int64_t first) : last(from[0] + first) {}
    TESSERA_BOTH W operator()(std::int64_t i) const { return W(last[i]); }
  };
  struct Partial {
    W const* at;
    TESSERA_BOTH W operator()(std::int64_t i) const { return at[i]; }
  };

  template <Lane L, class F>
  TESSERA_BOTH void write(L const& lane, Chunk chunk, F sum) const {
    T* const to = out + chunk.first;
    if (accumulate)
      lane.each(chunk.size, [=](std::int64_t i) { to[i] = T(W(to[i]) + sum(i)); });
    else
      lane.each(chunk.size, [=](std::int64_t i) { to[i] = T(sum(i)); });
  }

  /// Partial sums wait in a tile (out may be a buffer that is read later). A lane gives an index
  /// always to the same thread, so the tile may be a thread's own.
  template <Lane L>
  TESSERA_BOTH void many(L const& lane, Chunk chunk) const {
    using Tile = Piece<256>;
    W tile[256];
    W* const partial = tile;
    for (std::int64_t t = 0; t < Tile::count(chunk.size); ++t) {
      Tile const part = Tile::at(t, chunk.size);
      Chunk const here{chunk.first + part.first, part.size};
      Sum<8> const eight(from, here.first);
      lane.each(here.size, [=](std::int64_t i) { partial[i] = eight(i); });
      for (int k = 8; k < ranks; ++k) {
        T const* const next = from[k] + here.first;
        lane.each(here.size, [=](std::int64_t i) { partial[i] += W(next[i]); });
      }
      write(lane, here, Partial{partial});
    }
  }
};

/// partial[k] = the sum of squares of elements [256 k, 256 k + 256), by a lane's fixed tree.
///
/// Shapes  x [n] · partial [ceil(n / 256)]
/// Types   x T, squares and tree in Wide<T>, partial double
/// Moves   sizeof(T) bytes per element
template <class T>
struct SquaredSum {
  double* partial;
  T const* x;
  std::int64_t n;

  TESSERA_BOTH std::int64_t rows() const { return Piece<256>::count(n); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    Piece<256> const piece = Piece<256>::at(r, n);
    T const* const at = x + piece.first;
    Wide<T> const sum = lane.sum(piece.size, [=](std::int64_t i) {
      Wide<T> const value = Wide<T>(at[i]);
      return value * value;
    });
    double* const to = partial + r;
    lane.once([=] { *to = double(sum); });
  }
};

/// The sum of squares of x, pieces of 256 added in order. scratch: ceil(n / 256) doubles, which the
/// host must be able to read.
template <Team Threads, class T>
double squared_sum(Threads const& team, T const* x, std::int64_t n, double* scratch) {
  SquaredSum<T> const pieces{.partial = scratch, .x = x, .n = n};
  team.run(pieces);
  double sum = 0;
  for (std::int64_t k = 0; k < pieces.rows(); ++k) sum += scratch[k];
  return sum;
}

}  // namespace tessera::inline TESSERA_SETTING::kernel
