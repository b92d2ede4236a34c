/// Attention of one head, a tile of queries and a tile of keys at a time.
///
/// Tiles hold scores transposed, [key][query]: the softmax over keys runs down the columns, a
/// vector of queries at a time, and no product needs a transposed tile of probabilities.
#pragma once

#include <tessera/backend/cpu/tile.hpp>
#include <tessera/kernels/attention.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace tessera::simd::inline TESSERA_SIMD {

/// Floats of a row that blocks read: whole panels.
constexpr int padded(int width) {
  return (width + panel - 1) / panel * panel;
}

/// One query head of one sequence, and the key and value head that serves it.
struct Head {
  Rows q, k, v, y, dy;  // y: of forward's result
  int tokens, width;
  kernel::Visible sees;

  int padded() const { return simd::padded(width); }
  float scale() const { return 1 / std::sqrt(float(width)); }
};

inline constexpr int widest = 256;
inline constexpr float log2_e = 1.44269504f, ln_2 = 0.693147181f;
inline constexpr float masked = -1e38f;  // a score that its query does not see

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

/// The keys that the queries of a tile see, counted from a tile of keys. Both ends rise with the
/// query, so what a block of queries sees together lies between two of them.
class Edges {
 public:
  Edges(Head const& h, int first, int queries) : queries_(queries) {
    for (int i = 0; i < length; ++i) {
      int const query = first + std::min(i, queries - 1);
      first_[i] = int(h.sees.first(query));
      last_[i] = int(h.sees.last(query));
    }
  }
  /// Tiles of this many keys that the queries see: the first key of the first and one behind the
  /// last.
  int begin(int size) const { return first_[0] / size * size; }
  int end() const { return last_[queries_ - 1]; }

  void set_tile(int key, int keys) {
    key_ = key, keys_ = keys;
    all_ = first_[queries_ - 1] <= key && last_[0] >= key + keys;
  }
  bool all() const { return all_; }  // every query sees every key

  /// The keys that queries [n, n + count) see between them.
  int first_key(int n) const { return std::clamp(first_[n] - key_, 0, keys_); }
  int last_key(int n, int count) const { return std::clamp(last_[n + count - 1] - key_, 0, keys_); }
  bool none(int n, int count, int j, int rows) const {
    return !all_ && (last_[n + count - 1] - key_ <= j || first_[n] - key_ >= j + rows);
  }
  /// The queries that see one of the keys [j, j + rows).
  int first_query(int j) const {
    int i = 0;
    if (!all_)
      while (i < queries_ && last_[i] - key_ <= j) ++i;
    return i;
  }
  int last_query(int j, int rows) const {
    int i = queries_;
    if (!all_)
      while (i > 0 && first_[i - 1] - key_ >= j + rows) --i;
    return i;
  }
  /// x where queries n, n + 1, ... see key j, `no` elsewhere.
  [[gnu::always_inline]] Vec where_seen(int n, int j, Vec x, Vec no) const {
    Ints first, last;
    std::memcpy(&first, first_ + n, sizeof first);
    std::memcpy(&last, last_ + n, sizeof last);
    int const key = key_ + j;
    return pick((key - first) | (last - (key + 1)), x, no);
  }

 private:
  static constexpr int length = 64 + block_rows;
  alignas(64) std::int32_t first_[length];
  alignas(64) std::int32_t last_[length];
  int queries_, key_ = 0, keys_ = 0;
  bool all_ = true;
};

/// Keys or values as left matrix: in place, unless blocks would read beyond the last token.
inline Left rows_of(Head const& h, Rows x, int first, int count, float* copy) {
  if (!x.low() && first + covered(count) <= h.tokens) return {x.from(first).floats(), x.stride, 1};
  copy_rows(x.from(first), count, h.width, h.padded(), copy);
  return {copy, h.padded(), 1};
}

/// scores = q k / sqrt(width) in units of log 2; most = max(most, the scores of each query).
inline void score_tile(int size, Head const& h, Left k, Right q, int keys, Edges const& edges,
                       float* scores, float* most) {
  each_block(keys, [&](int j, auto rows) TESSERA_INLINED {
    for (int n = 0; n < size; n += panel) {
      Block<rows> c;
      if (!edges.none(n, panel, j, rows)) c = product<rows>(k, q, j, n, 0, h.width);
      if (!edges.all())
        unrolled<rows>([&](auto i) TESSERA_INLINED {
          c.at[i][0] = edges.where_seen(n, j + i, c.at[i][0], splat(masked));
          c.at[i][1] = edges.where_seen(n + lanes, j + i, c.at[i][1], splat(masked));
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
/// A query that has seen no key yet gets ones here, which its first key shrinks to nothing.
inline void exp_tile(int size, Edges const& edges, float* scores, float const* before,
                     float const* most, float* shrink, float* total) {
  for (int n = 0; n < size; n += lanes) {
    Vec const top = load(most + n), factor = exp2(load(before + n) - top);
    Vec sum = load(total + n) * factor;
    // Blocks of queries that reach into this vector read the keys of their first and last one.
    int const first = edges.first_key(std::max(n - block_rows, 0));
    int const last = edges.last_key(n, lanes + block_rows);
    for (int j = first; j < last; ++j) {
      Vec const p = exp2(load(scores + j * size + n) - top);
      sum += p;
      store(scores + j * size + n, p);
    }
    store(shrink + n, factor);
    store(total + n, sum);
  }
}

/// Queries first .. first + size of a head: rows of y and log_sum.
inline void attend(Head const& h, int first, float* log_sum) {
  int const size = tile_size(h.width);
  alignas(64) float qt[tile_floats], k[tile_floats + slack], v[tile_floats], out[tile_floats];
  alignas(64) float most[64], before[64], shrink[64], total[64];
  Scores p;
  int const padded = h.padded(), queries = std::min(h.tokens - first, size);
  copy_rows(h.q.from(first), queries, h.width, padded, k);
  copy_transposed(k, queries, padded, size, h.scale() * log2_e, qt);
  for (int i = 0; i < size; ++i) most[i] = masked, total[i] = 0;

  Edges edges(h, first, queries);
  int const begin = edges.begin(size), end = edges.end();
  for (int key = begin; key < end; key += size) {
    int const keys = std::min(size, h.tokens - key);
    bool const start = key == begin;
    edges.set_tile(key, keys);
    copy_rows(h.v.from(key), keys, h.width, padded, v);
    for (int i = 0; i < size; ++i) before[i] = most[i];
    score_tile(size, h, rows_of(h, h.k, key, keys, k), {qt, size}, keys, edges, p.at, most);
    exp_tile(size, edges, p.at, before, most, shrink, total);

    each_block(queries, [&](int i, auto rows) TESSERA_INLINED {
      int const seen = edges.first_key(i), all = edges.last_key(i, rows);
      for (int n = 0; n < padded; n += panel) {
        auto c = product<rows>({p.at, 1, size}, {v, padded}, i, n, seen, all);
        unrolled<rows>([&](auto r) TESSERA_INLINED {
          if (i + r >= queries) return;
          float* const at = out + (i + r) * padded + n;
          if (!start) {
            c.at[r][0] += shrink[i + r] * load(at);
            c.at[r][1] += shrink[i + r] * load(at + lanes);
          }
          store(at, c.at[r][0]);
          store(at + lanes, c.at[r][1]);
        });
      }
    });
  }
  for (int i = 0; i < queries; ++i) {
    shrink[i] = 1 / total[i];
    log_sum[first + i] = (most[i] + std::log2(total[i])) * ln_2;
  }
  write_rows(out, shrink, queries, h.width, padded, h.y.from(first));
}

/// p = 2^(q k - top), ds = p (dy v - own) for a tile, both with sqrt(width) divided out.
inline void slope_tile(int size, Head const& h, Left k, Left v, float const* qt, float const* dyt,
                       int keys, Edges const& edges, float const* top, float const* own, float* p,
                       float* ds) {
  each_block(keys, [&](int j, auto rows) TESSERA_INLINED {
    for (int n = 0; n < size; n += panel) {
      float *const p0 = p + j * size + n, *const ds0 = ds + j * size + n;
      if (edges.none(n, panel, j, rows)) {
        for (int i = 0; i < rows && j + i < keys; ++i)
          for (float* const to : {p0, ds0}) {
            store(to + i * size, Vec{});
            store(to + i * size + lanes, Vec{});
          }
        continue;
      }
      Vec const top0 = load(top + n), top1 = load(top + n + lanes);
      Vec const own0 = load(own + n), own1 = load(own + n + lanes);
      auto const s = product<rows>(k, {qt, size}, j, n, 0, h.width);
      unrolled<rows>([&](auto i) TESSERA_INLINED {
        if (j + i >= keys) return;
        Vec x = exp2(s.at[i][0] - top0), y = exp2(s.at[i][1] - top1);
        if (!edges.all()) {
          x = edges.where_seen(n, j + i, x, Vec{});
          y = edges.where_seen(n + lanes, j + i, y, Vec{});
        }
        store(p0 + i * size, x);
        store(p0 + i * size + lanes, y);
      });
      auto const d = product<rows>(v, {dyt, size}, j, n, 0, h.width);
      unrolled<rows>([&](auto i) TESSERA_INLINED {
        if (j + i >= keys) return;
        store(ds0 + i * size, load(p0 + i * size) * (d.at[i][0] - own0));
        store(ds0 + i * size + lanes, load(p0 + i * size + lanes) * (d.at[i][1] - own1));
      });
    }
  });
}

/// Where the gradients of a head's keys and values are summed: rows of floats.
struct KeyGradients {
  float *k, *v;
  std::ptrdiff_t stride;
  bool add;  // to those of the query heads before it
};

/// The gradient of one query head. Each tile of queries adds to the gradients of the keys it sees.
inline void attend_back(Head const& h, float const* log_sum, Rows dq, KeyGradients const& to) {
  int const size = tile_size(h.width);
  alignas(64) float qt[tile_floats], dyt[tile_floats], q[tile_floats], dy[tile_floats],
      k[tile_floats + slack], v[tile_floats + slack], sum[tile_floats];
  alignas(64) float top[64], own[64];
  Scores p, ds;
  int const padded = h.padded();
  float const scale = h.scale();
  int touched = 0;  // keys below have gradients of this head
  for (int first = 0; first < h.tokens; first += size) {
    int const queries = std::min(h.tokens - first, size);
    copy_rows(h.q.from(first), queries, h.width, padded, q);
    copy_rows(h.dy.from(first), queries, h.width, padded, dy);
    copy_rows(h.y.from(first), queries, h.width, padded, sum);
    copy_transposed(q, queries, padded, size, scale * log2_e, qt);
    copy_transposed(dy, queries, padded, size, scale, dyt);
    for (int i = 0; i < size; ++i) {
      Vec products{};
      for (int c = 0; i < queries && c < padded; c += lanes)
        products += load(dy + i * padded + c) * load(sum + i * padded + c);
      own[i] = scale * simd::sum(products);
      top[i] = i < queries ? log2_e * log_sum[first + i] : 0;
    }
    Edges edges(h, first, queries);
    int const begin = edges.begin(size), end = edges.end();
    for (int key = begin; key < end; key += size) {
      int const keys = std::min(size, h.tokens - key);
      bool const start = key == begin, add = to.add || key < touched;
      edges.set_tile(key, keys);
      copy_rows(h.k.from(key), keys, h.width, padded, k);
      slope_tile(size, h, {k, padded, 1}, rows_of(h, h.v, key, keys, v), qt, dyt, keys, edges, top,
                 own, p.at, ds.at);

      Target const to_v{to.v + key * to.stride, to.stride, keys, h.width};
      Target const to_k{to.k + key * to.stride, to.stride, keys, h.width};
      Target const to_q{sum, padded, queries, padded};
      each_block(keys, [&](int j, auto rows) TESSERA_INLINED {
        int const seen = edges.first_query(j), all = edges.last_query(j, rows);
        for (int n = 0; n < padded; n += panel) {
          put(product<rows>({p.at, size, 1}, {dy, padded}, j, n, seen, all), to_v, j, n, add);
          put(product<rows>({ds.at, size, 1}, {q, padded}, j, n, seen, all), to_k, j, n, add);
        }
      });
      each_block(queries, [&](int i, auto rows) TESSERA_INLINED {
        int const seen = edges.first_key(i), all = edges.last_key(i, rows);
        for (int n = 0; n < padded; n += panel)
          put(product<rows>({ds.at, 1, size}, {k, padded}, i, n, seen, all), to_q, i, n, !start);
      });
      touched = std::max(touched, key + keys);
    }
    write_rows(sum, nullptr, queries, h.width, padded, dq.from(first));
  }
}

}  // namespace tessera::simd::inline TESSERA_SIMD
