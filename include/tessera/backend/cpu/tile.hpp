/// Products of small matrices that lie in the first caches, a block of registers at a time.
#pragma once

#include <tessera/backend/cpu/simd.hpp>
#include <tessera/core/dtype.hpp>

#include <cstddef>
#include <type_traits>

namespace tessera::simd::inline TESSERA_SIMD {

/// A block of a product is block_rows x panel floats: its sums, a row of the right matrix and one
/// broadcast fill the register file (16 registers, or 32 with AVX-512).
inline constexpr int block_rows = lanes == 16 ? 12 : 6;
inline constexpr int short_rows = 4;  // for the last rows of a tile
inline constexpr int panel = 2 * lanes;

template <int Rows>
struct Block {
  Vec at[Rows][2]{};
};

/// The left matrix of a product: element (m, k) is at[m * row + k * step].
struct Left {
  float const* at;
  std::ptrdiff_t row, step;
};
/// The right one: element (k, n) is at[k * row + n].
struct Right {
  float const* at;
  std::ptrdiff_t row;
};
/// Where results go; columns beyond cols are left alone.
struct Target {
  float* at;
  std::ptrdiff_t row;
  int rows, cols;
};

/// sum over k in [first, last) of a(m + ., k) b(k, n + .)
template <int Rows>
[[gnu::always_inline]] inline Block<Rows> product(Left a, Right b, int m, int n, int first,
                                                  int last) {
  Block<Rows> c;
  float const* left = a.at + m * a.row + first * a.step;
  float const* right = b.at + first * b.row + n;
  for (int k = first; k < last; ++k) {
    Vec const x = load(right), y = load(right + lanes);
    unrolled<Rows>([&](auto i) TESSERA_INLINED {
      float const l = left[i * a.row];
      c.at[i][0] += l * x;
      c.at[i][1] += l * y;
    });
    left += a.step;
    right += b.row;
  }
  return c;
}

/// Rows of the blocks that cover this many.
constexpr int covered(int rows) {
  int row = 0;
  while (rows - row > short_rows) row += block_rows;
  return row < rows ? row + short_rows : row;
}
static_assert(covered(64) == 64 && covered(32) <= 36 && covered(63) == 64 && covered(58) <= 60);

/// f(first row, constant number of rows) for blocks that cover rows.
template <class F>
[[gnu::always_inline]] inline void each_block(int rows, F f) {
  int row = 0;
  for (; rows - row > short_rows; row += block_rows)
    f(row, std::integral_constant<int, block_rows>{});
  if (row < rows) f(row, std::integral_constant<int, short_rows>{});
}

namespace detail {

/// Of a block that reaches over an edge of the target: what lies inside.
template <int Rows>
[[gnu::noinline]] void put_inside(Block<Rows> const& c, Target to, int m, int n, bool add) {
  for (int i = 0; i < Rows && m + i < to.rows; ++i)
    for (int v = 0; v < 2; ++v) {
      int const left = to.cols - n - v * lanes;
      float* const at = to.at + (m + i) * to.row + n + v * lanes;
      if (left > 0) store(at, add ? load(at, left) + c.at[i][v] : c.at[i][v], left);
    }
}

}  // namespace detail

/// to = c, or to += c, for the elements of a block that lie inside the target.
template <int Rows>
[[gnu::always_inline]] inline void put(Block<Rows> const& c, Target to, int m, int n, bool add) {
  if (m + Rows > to.rows || n + panel > to.cols) {
    Block<Rows> const copy = c;  // so that c itself stays in registers
    detail::put_inside(copy, to, m, n, add);
    return;
  }
  float* const at = to.at + m * to.row + n;
  if (add)
    unrolled<Rows>([&](auto i) TESSERA_INLINED {
      store(at + i * to.row, load(at + i * to.row) + c.at[i][0]);
      store(at + i * to.row + lanes, load(at + i * to.row + lanes) + c.at[i][1]);
    });
  else
    unrolled<Rows>([&](auto i) TESSERA_INLINED {
      store(at + i * to.row, c.at[i][0]);
      store(at + i * to.row + lanes, c.at[i][1]);
    });
}

/// Rows of floats, or of 16-bit values that become floats when they are read.
struct Rows {
  std::byte* at;
  std::ptrdiff_t stride;  // elements
  DType type;

  bool low() const { return type != DType::real; }
  Rows from(std::ptrdiff_t row) const { return {at + row * stride * size_of(type), stride, type}; }
  float* floats() const { return reinterpret_cast<float*>(at); }
};

namespace detail {

inline void widen(Rows row, int n, float* to) {
  int c = 0;
  if (row.type == DType::bf16) {
    auto const* const from = reinterpret_cast<bf16 const*>(row.at);
    for (; c + lanes <= n; c += lanes) store(to + c, load_bf16(from + c));
    for (; c < n; ++c) to[c] = float(from[c]);
  } else {
    auto const* const from = reinterpret_cast<fp16 const*>(row.at);
#pragma omp simd
    for (int i = 0; i < n; ++i) to[i] = float(from[i]);
  }
}
inline void narrow(float const* from, float factor, int n, Rows row) {
  int c = 0;
  if (row.type == DType::bf16) {
    auto* const to = reinterpret_cast<bf16*>(row.at);
    for (; c + lanes <= n; c += lanes) store_bf16(to + c, factor * load(from + c));
    for (; c < n; ++c) to[c] = bf16(factor * from[c]);
  } else {
    auto* const to = reinterpret_cast<fp16*>(row.at);
#pragma omp simd
    for (int i = 0; i < n; ++i) to[i] = fp16(factor * from[i]);
  }
}

}  // namespace detail

/// to[r, 0 .. padded) = from[r, 0 .. cols) for r < rows, 0 in between.
[[gnu::noinline]] inline void copy_rows(Rows from, int rows, int cols, int padded, float* to) {
  for (int r = 0; r < rows; ++r, to += padded) {
    Rows const row = from.from(r);
    if (row.low()) {
      detail::widen(row, cols, to);
      for (int c = cols; c < padded; ++c) to[c] = 0;
    } else {
      for (int c = 0; c < padded; c += lanes) store(to + c, load(row.floats() + c, cols - c));
    }
  }
}
/// to[r, 0 .. cols) = factors[r] * from[r, 0 .. cols) for r < rows; null: factors of 1.
[[gnu::noinline]] inline void write_rows(float const* from, float const* factors, int rows,
                                         int cols, int padded, Rows to) {
  for (int r = 0; r < rows; ++r, from += padded) {
    Rows const row = to.from(r);
    float const factor = factors ? factors[r] : 1;
    if (row.low())
      detail::narrow(from, factor, cols, row);
    else
      for (int c = 0; c < cols; c += lanes)
        store(row.floats() + c, factor * load(from + c), cols - c);
  }
}

/// to[c, r] = scale * from[r, c]: padded rows of height floats; 0 where from ends.
[[gnu::noinline]] inline void copy_transposed(float const* from, int rows, int padded, int height,
                                              float scale, float* to) {
  for (int r = 0; r < height; r += lanes)
    for (int c = 0; c < padded; c += lanes) {
      Vec x[lanes];
      unrolled<lanes>([&](auto i) TESSERA_INLINED {
        x[i] = r + i < rows ? scale * load(from + (r + i) * padded + c) : Vec{};
      });
      transpose(x);
      unrolled<lanes>([&](auto i) TESSERA_INLINED { store(to + (c + i) * height + r, x[i]); });
    }
}

}  // namespace tessera::simd::inline TESSERA_SIMD
