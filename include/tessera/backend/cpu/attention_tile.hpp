/// Causal attention of one head, a tile of queries and a tile of keys at a time.
///
/// Tiles hold scores transposed, [key][query]: the softmax over keys runs down the columns, a
/// vector of queries at a time, and no product needs a transposed tile of probabilities.
#pragma once

#include <tessera/backend/cpu/tile.hpp>

#include <cmath>
#include <cstddef>

namespace tessera::simd::inline TESSERA_SIMD {

/// One head of one sequence.
struct Head {
  float const *q, *k, *v;      // rows stride apart
  float const *y, *dy;         // rows all apart
  std::ptrdiff_t stride, all;  // 3 C, C
  int tokens, width;

  int padded() const { return (width + panel - 1) / panel * panel; }
  float scale() const { return 1 / std::sqrt(float(width)); }
};

inline constexpr int widest = 256;
inline constexpr float log2_e = 1.44269504f, ln_2 = 0.693147181f;
inline constexpr float masked = -1e38f;  // a score that no query sees

/// A tile of size tokens: 64 of heads up to 128 wide, 32 of heads up to 256. Blocks of rows may
/// read beyond its last row.
constexpr int tile_size(int width) {
  return width <= 128 ? 64 : 32;
}
inline constexpr int tile_floats = 64 * 128;
static_assert(tile_size(widest) * widest <= tile_floats);
inline constexpr int slack = 4 * widest;
static_assert(covered(32) - 32 <= 4 && covered(64) == 64);
struct alignas(64) Scores {
  float at[64 * 64 + 64];
};

/// Keys or values as left matrix: in place, unless blocks would read beyond the last token.
inline Left rows_of(Head const& h, float const* x, int first, int count, float* copy) {
  x += first * h.stride;
  if (first + covered(count) <= h.tokens) return {x, h.stride, 1};
  copy_rows(x, h.stride, count, h.width, h.padded(), copy);
  return {copy, h.padded(), 1};
}

/// scores = q k / sqrt(width) in units of log 2; most = max(most, the scores of each query).
inline void score_tile(int size, Head const& h, Left k, Right q, int keys, bool diagonal,
                       float* scores, float* most) {
  each_block(keys, [&](int j, auto rows) TESSERA_INLINED {
    for (int n = 0; n < size; n += panel) {
      Block<rows> c;
      if (!(diagonal && n + panel <= j)) c = product<rows>(k, q, j, n, 0, h.width);
      if (diagonal)
        unrolled<rows>([&](auto i) TESSERA_INLINED {
          Ints const ahead = iota() + (n - j - i);  // query minus key
          c.at[i][0] = pick(ahead, c.at[i][0], splat(masked));
          c.at[i][1] = pick(ahead + lanes, c.at[i][1], splat(masked));
        });
      Vec x = load(most + n), y = load(most + n + lanes);
      unrolled<rows>([&](auto i) TESSERA_INLINED {
        if (j + i >= keys) return;
        x = larger(c.at[i][0], x);
        y = larger(c.at[i][1], y);
        store(scores + (j + i) * size + n, c.at[i][0]);
        store(scores + (j + i) * size + n + lanes, c.at[i][1]);
      });
      store(most + n, x);
      store(most + n + lanes, y);
    }
  });
}

/// scores = 2^(scores - most); total = total * shrink + their sums; shrink = 2^(before - most).
inline void exp_tile(int size, int keys, bool diagonal, float* scores, float const* before,
                     float const* most, float* shrink, float* total) {
  for (int n = 0; n < size; n += lanes) {
    Vec const top = load(most + n), factor = exp2(load(before + n) - top);
    Vec sum = load(total + n) * factor;
    int const seen = n + lanes + block_rows;  // a block of queries reads the keys of its last one
    for (int j = 0; j < (diagonal && seen < keys ? seen : keys); ++j) {
      Vec const p = exp2(load(scores + j * size + n) - top);
      sum += p;
      store(scores + j * size + n, p);
    }
    store(shrink + n, factor);
    store(total + n, sum);
  }
}

/// Queries first .. first + size of a head: rows of y and log_sum.
inline void attend(Head const& h, int first, float* y, float* log_sum) {
  int const size = tile_size(h.width);
  alignas(64) float qt[tile_floats], k[tile_floats + slack], v[tile_floats], out[tile_floats];
  alignas(64) float most[64], before[64], shrink[64], total[64];
  Scores p;
  int const padded = h.padded(), queries = h.tokens - first < size ? h.tokens - first : size;
  copy_transposed(h.q + first * h.stride, h.stride, queries, h.width, padded, size,
                  h.scale() * log2_e, qt);
  for (int i = 0; i < size; ++i) most[i] = masked, total[i] = 0;

  for (int key = 0; key <= first; key += size) {
    bool const diagonal = key == first, start = key == 0;
    int const keys = diagonal ? queries : size;
    copy_rows(h.v + key * h.stride, h.stride, keys, h.width, padded, v);
    for (int i = 0; i < size; ++i) before[i] = most[i];
    score_tile(size, h, rows_of(h, h.k, key, keys, k), {qt, size}, keys, diagonal, p.at, most);
    exp_tile(size, keys, diagonal, p.at, before, most, shrink, total);

    Target const to = diagonal ? Target{y + first * h.all, h.all, queries, h.width}
                               : Target{out, padded, queries, padded};
    if (diagonal)
      for (int i = 0; i < size; ++i) before[i] = 1 / total[i];
    each_block(queries, [&](int i, auto rows) TESSERA_INLINED {
      int const end = diagonal && i + rows < keys ? i + rows : keys;
      for (int n = 0; n < padded; n += panel) {
        auto c = product<rows>({p.at, 1, size}, {v, padded}, i, n, 0, end);
        unrolled<rows>([&](auto r) TESSERA_INLINED {
          if (i + r >= queries) return;
          float const* const at = out + (i + r) * padded + n;
          if (!start) {
            c.at[r][0] += shrink[i + r] * load(at);
            c.at[r][1] += shrink[i + r] * load(at + lanes);
          }
          if (diagonal) {
            c.at[r][0] *= before[i + r];
            c.at[r][1] *= before[i + r];
          }
        });
        put(c, to, i, n, false);
      }
    });
  }
  for (int i = 0; i < queries; ++i) log_sum[first + i] = (most[i] + std::log2(total[i])) * ln_2;
}

/// p = 2^(q k - top), ds = p (dy v - own) for a tile, both with sqrt(width) divided out.
inline void slope_tile(int size, Head const& h, Left k, Left v, float const* qt, float const* dyt,
                       int keys, bool diagonal, float const* top, float const* own, float* p,
                       float* ds) {
  each_block(keys, [&](int j, auto rows) TESSERA_INLINED {
    for (int n = diagonal ? j / panel * panel : 0; n < size; n += panel) {
      Vec const top0 = load(top + n), top1 = load(top + n + lanes);
      Vec const own0 = load(own + n), own1 = load(own + n + lanes);
      auto const s = product<rows>(k, {qt, size}, j, n, 0, h.width);
      unrolled<rows>([&](auto i) TESSERA_INLINED {
        if (j + i >= keys) return;
        Vec x = exp2(s.at[i][0] - top0), y = exp2(s.at[i][1] - top1);
        if (diagonal) {
          Ints const ahead = iota() + (n - j - i);
          x = pick(ahead, x, Vec{});
          y = pick(ahead + lanes, y, Vec{});
        }
        store(p + (j + i) * size + n, x);
        store(p + (j + i) * size + n + lanes, y);
      });
      auto const d = product<rows>(v, {dyt, size}, j, n, 0, h.width);
      unrolled<rows>([&](auto i) TESSERA_INLINED {
        if (j + i >= keys) return;
        float const* const at = p + (j + i) * size + n;
        float* const to = ds + (j + i) * size + n;
        store(to, load(at) * (d.at[i][0] - own0));
        store(to + lanes, load(at + lanes) * (d.at[i][1] - own1));
      });
    }
  });
}

/// The gradient of one head. Each tile of queries adds to the gradients of the keys it sees.
inline void attend_back(Head const& h, float const* log_sum, float* dq, float* dk, float* dv) {
  int const size = tile_size(h.width);
  alignas(64) float qt[tile_floats], dyt[tile_floats], q[tile_floats], dy[tile_floats],
      k[tile_floats + slack], v[tile_floats + slack];
  alignas(64) float top[64], own[64];
  Scores p, ds;
  int const padded = h.padded();
  float const scale = h.scale();
  for (int first = 0; first < h.tokens; first += size) {
    int const queries = h.tokens - first < size ? h.tokens - first : size;
    float const *const q0 = h.q + first * h.stride, *const dy0 = h.dy + first * h.all;
    copy_transposed(q0, h.stride, queries, h.width, padded, size, scale * log2_e, qt);
    copy_transposed(dy0, h.all, queries, h.width, padded, size, scale, dyt);
    copy_rows(q0, h.stride, queries, h.width, padded, q);
    copy_rows(dy0, h.all, queries, h.width, padded, dy);
    for (int i = 0; i < size; ++i) {
      float const* const y = h.y + (first + i) * h.all;
      Vec sum{};
      for (int c = 0; i < queries && c < h.width; c += lanes)
        sum += load(dy + i * padded + c) * load(y + c, h.width - c);
      own[i] = scale * simd::sum(sum);
      top[i] = i < queries ? log2_e * log_sum[first + i] : 0;
    }
    for (int key = 0; key <= first; key += size) {
      bool const diagonal = key == first, start = key == 0;
      int const keys = diagonal ? queries : size;
      copy_rows(h.k + key * h.stride, h.stride, keys, h.width, padded, k);
      slope_tile(size, h, {k, padded, 1}, rows_of(h, h.v, key, keys, v), qt, dyt, keys, diagonal,
                 top, own, p.at, ds.at);

      Target const to_v{dv + key * h.stride, h.stride, keys, h.width};
      Target const to_k{dk + key * h.stride, h.stride, keys, h.width};
      Target const to_q{dq + first * h.stride, h.stride, queries, h.width};
      each_block(keys, [&](int j, auto rows) TESSERA_INLINED {
        int const begin = diagonal ? j : 0;  // the first tile of queries that sees these keys
        for (int n = 0; n < padded; n += panel) {
          put(product<rows>({p.at, size, 1}, {dy, padded}, j, n, begin, queries), to_v, j, n,
              !diagonal);
          put(product<rows>({ds.at, size, 1}, {q, padded}, j, n, begin, queries), to_k, j, n,
              !diagonal);
        }
      });
      each_block(queries, [&](int i, auto rows) TESSERA_INLINED {
        int const end = diagonal && i + rows < keys ? i + rows : keys;
        for (int n = 0; n < padded; n += panel)
          put(product<rows>({ds.at, 1, size}, {k, padded}, i, n, 0, end), to_q, i, n, !start);
      });
    }
  }
}

}  // namespace tessera::simd::inline TESSERA_SIMD
