/// Causal self-attention on cores. Scores exist for one tile of queries and keys at a time, on the
/// stack of the thread that works on it, so memory is linear in tokens.
///
/// Tiles hold scores transposed, [key][query]: the softmax over keys then runs down the columns, a
/// vector of queries at a time, and no product needs a transposed tile of probabilities.
#pragma once

#include <tessera/backend/cpu/team.hpp>
#include <tessera/backend/cpu/tile.hpp>
#include <tessera/core/setting.hpp>
#include <tessera/kernels/attention.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace tessera::simd::inline TESSERA_SIMD {

/// One head of one sequence.
struct Head {
  float const *q, *k, *v;  // rows stride apart
  float const* y;          // rows all apart; dy too
  std::ptrdiff_t stride, all;
  int tokens, width;

  int padded() const { return (width + panel - 1) / panel * panel; }
  float scale() const { return 1 / std::sqrt(float(width)); }
};

inline constexpr float log2_e = 1.44269504f, ln_2 = 0.693147181f;
inline constexpr float least = -1e38f;  // a masked score

/// Floats of a tile of Size tokens: 64 tokens of heads up to 128 wide, 32 tokens up to 256.
template <int Size>
inline constexpr int tile_floats = 64 * 128;
/// Blocks of rows may read past a tile's last row.
inline constexpr int slack = 16;

/// Keys or values as left matrix: in place, unless blocks would read beyond the last token.
inline Left rows_of(Head const& h, float const* x, int key, int keys, float* copy) {
  x += key * h.stride;
  if (key + covered(keys) <= h.tokens) return {x, h.stride, 1};
  copy_rows(x, h.stride, keys, h.width, h.padded(), copy);
  return {copy, h.padded(), 1};
}

/// scores = q k / sqrt(width) in units of log 2, and most = max(most, scores of every query).
template <int Size>
void score_tile(Head const& h, int key, Left k, Right q, int keys, bool diagonal, float* scores, float* most) {
  int const depth = h.width;
  each_block(keys, [&](int j, auto rows) __attribute__((always_inline)) {
    fetch(h.k, h.stride, key + j + rows, rows, h.tokens, h.width);
    fetch(h.v, h.stride, key + Size + j, rows, h.tokens, h.width);
    if (diagonal) fetch(h.q, h.stride, key + Size + j, rows, h.tokens, h.width);
    for (int n = 0; n < Size; n += panel) {
      bool const hidden = diagonal && n + panel <= j;
      Block<rows> c;
      if (!hidden) c = product<rows>(k, q, j, n, 0, depth);
      if (diagonal)
        unrolled<rows>([&](auto i) __attribute__((always_inline)) {
          Ints const first = iota() + (n - j - i);
          c.at[i][0] = first >= 0 ? c.at[i][0] : splat(least);
          c.at[i][1] = first + lanes >= 0 ? c.at[i][1] : splat(least);
        });
      Vec x = load(most + n), y = load(most + n + lanes);
      unrolled<rows>([&](auto i) __attribute__((always_inline)) {
        if (j + i >= keys) return;
        x = larger(c.at[i][0], x);
        y = larger(c.at[i][1], y);
        store(scores + (j + i) * Size + n, c.at[i][0]);
        store(scores + (j + i) * Size + n + lanes, c.at[i][1]);
      });
      store(most + n, x);
      store(most + n + lanes, y);
    }
  });
}

/// scores = 2^(scores - most); total = total * shrink + sums; shrink = 2^(before - most).
template <int Size>
void exp_tile(int keys, bool diagonal, float* scores, float const* before, float const* most,
              float* shrink, float* total) {
  for (int n = 0; n < Size; n += lanes) {
    Vec const top = load(most + n), factor = exp2(load(before + n) - top);
    Vec sum = load(total + n) * factor;
    int const last = diagonal && n + lanes + block_rows < keys ? n + lanes + block_rows : keys;
    for (int j = 0; j < last; ++j) {
      Vec const p = exp2(load(scores + j * Size + n) - top);
      sum += p;
      store(scores + j * Size + n, p);
    }
    store(shrink + n, factor);
    store(total + n, sum);
  }
}

/// Queries first .. first + Size of a head.
template <int Size>
void attend(Head const& h, int first, float* y, float* log_sum) {
  alignas(64) float qt[tile_floats<Size>], k[tile_floats<Size> + slack * 256],
      v[tile_floats<Size>], out[tile_floats<Size>], p[Size * Size + slack];
  alignas(64) float most[Size], before[Size], shrink[Size], total[Size];
  int const padded = h.padded(), queries = h.tokens - first < Size ? h.tokens - first : Size;
  copy_transposed(h.q + first * h.stride, h.stride, queries, h.width, padded, Size,
                  h.scale() * log2_e, qt);
  for (int i = 0; i < Size; ++i) most[i] = least, total[i] = 0;

  for (int key = 0; key <= first; key += Size) {
    bool const diagonal = key == first;
    int const keys = diagonal ? queries : Size;
    copy_rows(h.v + key * h.stride, h.stride, keys, h.width, padded, v);
    for (int i = 0; i < Size; ++i) before[i] = most[i];
    score_tile<Size>(h, key, rows_of(h, h.k, key, keys, k), {qt, Size}, keys, diagonal, p, most);
    exp_tile<Size>(keys, diagonal, p, before, most, shrink, total);

    bool const start = key == 0;
    if (diagonal)
      for (int i = 0; i < Size; ++i) before[i] = 1 / total[i];
    each_block(queries, [&](int i, auto rows) __attribute__((always_inline)) {
      int const end = diagonal && i + rows < keys ? i + rows : keys;
      for (int n = 0; n < padded; n += panel) {
        auto c = product<rows>({p, 1, Size}, {v, padded}, i, n, 0, end);
        if (!start)
          unrolled<rows>([&](auto r) __attribute__((always_inline)) {
            float const* const at = out + (i + r) * padded + n;
            c.at[r][0] += shrink[i + r] * load(at);
            c.at[r][1] += shrink[i + r] * load(at + lanes);
          });
        if (diagonal)
          put(c, {y + first * h.all, h.all, queries, h.width}, i, n,
              [&](int row, Vec x, float*, int)
                  __attribute__((always_inline)) { return before[row] * x; });
        else
          put(c, {out, padded, queries, padded}, i, n,
              [](int, Vec x, float*, int) __attribute__((always_inline)) { return x; });
      }
    });
  }
  for (int i = 0; i < queries; ++i)
    log_sum[first + i] = (most[i] + std::log2(total[i])) * ln_2;
}

/// The gradient of one head. Each tile of queries adds to the gradients of the keys before it.
template <int Size>
void attend_back(Head const& h, float const* dy, float const* log_sum, float* dq, float* dk,
                 float* dv) {
  constexpr int floats = tile_floats<Size>;
  alignas(64) float qt[floats], dyt[floats], q[floats], dyr[floats], k[floats + slack * 256], v[floats + slack * 256],
      p[Size * Size + slack], ds[Size * Size + slack];
  alignas(64) float top[Size], own[Size];
  int const padded = h.padded();
  float const scale = h.scale();
  for (int first = 0; first < h.tokens; first += Size) {
    int const queries = h.tokens - first < Size ? h.tokens - first : Size;
    float const *const q0 = h.q + first * h.stride, *const dy0 = dy + first * h.all;
    copy_transposed(q0, h.stride, queries, h.width, padded, Size, scale * log2_e, qt);
    copy_transposed(dy0, h.all, queries, h.width, padded, Size, scale, dyt);
    copy_rows(q0, h.stride, queries, h.width, padded, q);
    copy_rows(dy0, h.all, queries, h.width, padded, dyr);
    for (int i = 0; i < Size; ++i) {
      Vec sum{};
      if (i < queries)
        for (int c = 0; c < h.width; c += lanes)
          sum += load(dyr + i * padded + c) *
                 load(h.y + (first + i) * h.all + c, h.width - c);
      own[i] = scale * simd::sum(sum);
      top[i] = i < queries ? log2_e * log_sum[first + i] : 0;
    }
    for (int key = 0; key <= first; key += Size) {
      bool const diagonal = key == first;
      int const keys = diagonal ? queries : Size;
      copy_rows(h.k + key * h.stride, h.stride, keys, h.width, padded, k);
      Left const values = rows_of(h, h.v, key, keys, v);
      each_block(keys, [&](int j, auto rows) __attribute__((always_inline)) {
        fetch(h.v, h.stride, key + j + rows, rows, h.tokens, h.width);
        fetch(h.k, h.stride, key + Size + j, rows, h.tokens, h.width);
        if (diagonal) {
          fetch(h.q, h.stride, key + Size + j, rows, h.tokens, h.width);
          fetch(dy, h.all, key + Size + j, rows, h.tokens, h.width);
          fetch(h.y, h.all, key + Size + j, rows, h.tokens, h.width);
        }
        for (int n = diagonal ? j / panel * panel : 0; n < Size; n += panel) {
          auto s = product<rows>({k, padded, 1}, {qt, Size}, j, n, 0, h.width);
          unrolled<rows>([&](auto i) __attribute__((always_inline)) {
            Vec x = exp2(s.at[i][0] - load(top + n)), z = exp2(s.at[i][1] - load(top + n + lanes));
            if (diagonal) {
              Ints const lane = iota() + (n - j - i);
              x = lane >= 0 ? x : Vec{};
              z = lane + lanes >= 0 ? z : Vec{};
            }
            if (j + i < Size) {
            store(p + (j + i) * Size + n, x);
            store(p + (j + i) * Size + n + lanes, z);
            }
          });
          auto d = product<rows>(values, {dyt, Size}, j, n, 0, h.width);
          unrolled<rows>([&](auto i) __attribute__((always_inline)) {
            if (j + i >= Size) return;
            float const* const at = p + (j + i) * Size + n;
            float* const to = ds + (j + i) * Size + n;
            store(to, load(at) * (d.at[i][0] - load(own + n)));
            store(to + lanes, load(at + lanes) * (d.at[i][1] - load(own + n + lanes)));
          });
        }
      });
      auto add = [](bool set) {
        return [set](int, Vec x, float* at, int n)
                   __attribute__((always_inline)) { return set ? x : load(at, n) + x; };
      };
      each_block(keys, [&](int j, auto rows) __attribute__((always_inline)) {
        int const start = diagonal ? j : 0;
        for (int n = 0; n < padded; n += panel) {
          put(product<rows>({p, Size, 1}, {dyr, padded}, j, n, start, queries),
              {dv + key * h.stride, h.stride, keys, h.width}, j, n, add(diagonal));
          put(product<rows>({ds, Size, 1}, {q, padded}, j, n, start, queries),
              {dk + key * h.stride, h.stride, keys, h.width}, j, n, add(diagonal));
        }
      });
      each_block(queries, [&](int i, auto rows) __attribute__((always_inline)) {
        int const end = diagonal && i + rows < keys ? i + rows : keys;
        for (int n = 0; n < padded; n += panel)
          put(product<rows>({ds, 1, Size}, {k, padded}, i, n, 0, end),
              {dq + first * h.stride, h.stride, queries, h.width}, i, n, add(key == 0));
      });
    }
  }
}

}  // namespace tessera::simd::inline TESSERA_SIMD

namespace tessera::inline TESSERA_SETTING {

/// qkv [batch, tokens, 3 C] (q | k | v, heads one after another in each) -> y [batch, tokens, C] and
/// log_sum [batch, heads, tokens]. The same bits for any number of threads.
template <class T>
struct Attention {
  static void forward(int batch, int tokens, int heads, int width, T const* qkv, T* y, T* log_sum) {
    CpuTeam{}.run(kernel::Attention<T>{y, log_sum, qkv, batch, tokens, heads, width});
  }
  static void backward(int batch, int tokens, int heads, int width, T const* dy, T const* qkv,
                       T const* y, T const* log_sum, T* dqkv) {
    CpuTeam{}.run(
        kernel::AttentionInput<T>{dqkv, dy, qkv, y, log_sum, batch, tokens, heads, width});
  }
};

template <>
inline void Attention<float>::forward(int batch, int tokens, int heads, int width,
                                      float const* qkv, float* y, float* log_sum) {
  std::ptrdiff_t const all = std::ptrdiff_t(heads) * width;
  int const size = width <= 128 ? 64 : 32, tiles = (tokens + size - 1) / size;
#pragma omp parallel for collapse(2) schedule(dynamic)
  for (int r = 0; r < batch * heads; ++r)
    for (int t = 0; t < tiles; ++t) {
      float const* const q = qkv + r / heads * tokens * 3 * all + r % heads * width;
      simd::Head const h{q, q + all, q + 2 * all, nullptr, 3 * all, all, tokens, width};
      float* const to = y + r / heads * tokens * all + r % heads * width;
      auto const part = width <= 128 ? simd::attend<64> : simd::attend<32>;
      part(h, t * size, to, log_sum + std::ptrdiff_t(r) * tokens);
    }
}
template <>
inline void Attention<float>::backward(int batch, int tokens, int heads, int width, float const* dy,
                                       float const* qkv, float const* y, float const* log_sum,
                                       float* dqkv) {
  std::ptrdiff_t const all = std::ptrdiff_t(heads) * width;
#pragma omp parallel for schedule(dynamic)
  for (int r = 0; r < batch * heads; ++r) {
    std::ptrdiff_t const packed = r / heads * tokens * 3 * all + r % heads * width,
                         plain = r / heads * tokens * all + r % heads * width;
    float const* const q = qkv + packed;
    float* const dq = dqkv + packed;
    simd::Head const h{q, q + all, q + 2 * all, y + plain, 3 * all, all, tokens, width};
    auto const part = width <= 128 ? simd::attend_back<64> : simd::attend_back<32>;
    part(h, dy + plain, log_sum + std::ptrdiff_t(r) * tokens, dq, dq + all, dq + 2 * all);
  }
}

}  // namespace tessera::inline TESSERA_SETTING
