/// Self-attention with one row of work per query, and in backward also per key: memory linear in
/// tokens, every sum in one order. What a GPU runs where no library does it.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/kernels/attention.hpp>

#include <type_traits>

namespace tessera::inline TESSERA_SETTING::kernel {

namespace detail {

/// Keys, or queries, whose scores are at hand at a time: one per partial of a lane.
inline constexpr int attention_tile = lane_partials;
inline constexpr int widest_head = 256;

template <class T>
TESSERA_BOTH Wide<T> dot(T const* a, T const* b, std::int64_t n) {
  Wide<T> sum = 0;
  for (std::int64_t c = 0; c < n; ++c) sum += Wide<T>(a[c]) * Wide<T>(b[c]);
  return sum;
}

}  // namespace detail

/// As Attention. Scores of a tile of keys become weights against the highest one so far, and what
/// was summed before shrinks by as much (Milakov, Gimelshein, arXiv 1805.02867).
///
/// Shapes  as Attention; a row of the kernel is a query of a head
/// Types   T stored, arithmetic and log_sum Wide<T>
template <class T>
struct AttentionByQuery {
  T* y;
  Wide<T>* log_sum;
  T const* qkv;
  AttentionShape s;
  std::int32_t const* documents;

  TESSERA_BOTH std::int64_t rows() const { return s.batch * s.heads * s.tokens; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t row) const {
    using W = Wide<T>;
    std::int64_t const r = row / s.tokens, t = row % s.tokens;
    detail::HeadPlace const place{s};
    Visible const sees = Visible::of(s, documents, place.sequence(r));
    std::int64_t const stride = s.packed(), width = s.width;
    T const *const q = qkv + place.queries(r) + t * stride, *const k = qkv + place.keys(r),
                   *const v = qkv + place.values(r);
    W const scale = 1 / std::sqrt(W(width));
    auto weights = lane.template room<W, detail::attention_tile, AttentionByQuery>();
    auto sums = lane.template room<W, detail::widest_head, T>();
    W *const p = weights.at(), *const sum = sums.at();
    lane.each(width, [=](std::int64_t c) { sum[c] = 0; });
    W most = -INFINITY, total = 0;
    for (std::int64_t i = sees.first(t), last = sees.last(t); i < last;
         i += detail::attention_tile) {
      std::int64_t const n = last - i < detail::attention_tile ? last - i : detail::attention_tile;
      T const *const ks = k + i * stride, *const vs = v + i * stride;
      lane.each(n, [=](std::int64_t j) { p[j] = scale * detail::dot(q, ks + j * stride, width); });
      W const here = lane.max(n, [=](std::int64_t j) { return p[j]; });
      W const higher = here > most ? here : most, shrink = std::exp(most - higher);
      lane.each(n, [=](std::int64_t j) { p[j] = std::exp(p[j] - higher); });
      total = total * shrink + lane.sum(n, [=](std::int64_t j) { return p[j]; });
      lane.each(width, [=](std::int64_t c) {
        W x = sum[c] * shrink;
        for (std::int64_t j = 0; j < n; ++j) x += p[j] * W(vs[j * stride + c]);
        sum[c] = x;
      });
      most = higher;
    }
    T* const to = y + place.plain(r) + t * s.all();
    W const all = total;
    lane.each(width, [=](std::int64_t c) { to[c] = T(sum[c] / all); });
    W* const log_to = log_sum + row;
    lane.once([=] { *log_to = most + std::log(all); });
  }
};

/// dq of AttentionInput, and own[t] = dy[t] y[t], which the keys' gradients need, too.
///
/// Shapes  own [batch, heads, tokens]; a row of the kernel is a query of a head
template <class T>
struct AttentionQueryGradient {
  T* dqkv;
  Wide<T>* own;
  T const *dy, *qkv, *y;
  Wide<T> const* log_sum;
  AttentionShape s;
  std::int32_t const* documents;

  TESSERA_BOTH std::int64_t rows() const { return s.batch * s.heads * s.tokens; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t row) const {
    using W = Wide<T>;
    std::int64_t const r = row / s.tokens, t = row % s.tokens;
    detail::HeadPlace const place{s};
    Visible const sees = Visible::of(s, documents, place.sequence(r));
    std::int64_t const stride = s.packed(), width = s.width;
    T const *const q = qkv + place.queries(r) + t * stride, *const k = qkv + place.keys(r),
                   *const v = qkv + place.values(r);
    T const *const slope = dy + place.plain(r) + t * s.all(), *const made =
                                                                  y + place.plain(r) + t * s.all();
    W const scale = 1 / std::sqrt(W(width)), log_total = log_sum[row];
    auto weights = lane.template room<W, detail::attention_tile, AttentionQueryGradient>();
    auto sums = lane.template room<W, detail::widest_head, T>();
    W *const ds = weights.at(), *const sum = sums.at();
    W const mine = lane.sum(width, [=](std::int64_t c) { return W(slope[c]) * W(made[c]); });
    lane.each(width, [=](std::int64_t c) { sum[c] = 0; });
    for (std::int64_t i = sees.first(t), last = sees.last(t); i < last;
         i += detail::attention_tile) {
      std::int64_t const n = last - i < detail::attention_tile ? last - i : detail::attention_tile;
      T const *const ks = k + i * stride, *const vs = v + i * stride;
      lane.each(n, [=](std::int64_t j) {
        W const p = std::exp(scale * detail::dot(q, ks + j * stride, width) - log_total);
        ds[j] = p * (detail::dot(slope, vs + j * stride, width) - mine) * scale;
      });
      lane.each(width, [=](std::int64_t c) {
        W x = sum[c];
        for (std::int64_t j = 0; j < n; ++j) x += ds[j] * W(ks[j * stride + c]);
        sum[c] = x;
      });
    }
    T* const to = dqkv + place.queries(r) + t * stride;
    W* const own_to = own + row;
    lane.each(width, [=](std::int64_t c) { to[c] = T(sum[c]); });
    lane.once([=] { *own_to = mine; });
  }
};

/// dk and dv of AttentionInput.
///
/// Shapes  own of AttentionQueryGradient; a row of the kernel is a key of a key and value head
template <class T>
struct AttentionKeyGradient {
  T* dqkv;
  Wide<T> const* own;
  T const *dy, *qkv;
  Wide<T> const* log_sum;
  AttentionShape s;
  std::int32_t const* documents;

  TESSERA_BOTH std::int64_t rows() const { return s.batch * s.kv_heads * s.tokens; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t row) const {
    using W = Wide<T>;
    std::int64_t const first_head = row / s.tokens * s.group(), i = row % s.tokens;
    detail::HeadPlace const place{s};
    Visible const sees = Visible::of(s, documents, place.sequence(first_head));
    std::int64_t const stride = s.packed(), width = s.width, tokens = s.tokens;
    T const *const k = qkv + place.keys(first_head) + i * stride, *const v =
                                                                      qkv +
                                                                      place.values(first_head) +
                                                                      i * stride;
    W const scale = 1 / std::sqrt(W(width));
    auto weights = lane.template room<W, detail::attention_tile, AttentionKeyGradient>();
    auto slopes = lane.template room<W, detail::attention_tile, AttentionShape>();
    auto keys = lane.template room<W, detail::widest_head, T>();
    auto values = lane.template room<W, detail::widest_head, Visible>();
    W *const p = weights.at(), *const ds = slopes.at(), *const dk = keys.at(),
             *const dv = values.at();
    lane.each(width, [=](std::int64_t c) { dk[c] = dv[c] = 0; });
    for (std::int64_t r = first_head; r < first_head + s.group(); ++r) {
      T const *const q = qkv + place.queries(r), *const slope = dy + place.plain(r);
      W const *const log_total = log_sum + r * tokens, *const mine = own + r * tokens;
      std::int64_t const all = s.all();
      for (std::int64_t t = s.causal ? i : 0; t < tokens; t += detail::attention_tile) {
        std::int64_t const n =
            tokens - t < detail::attention_tile ? tokens - t : detail::attention_tile;
        lane.each(n, [=](std::int64_t j) {
          std::int64_t const at = t + j;
          if (i < sees.first(at) || i >= sees.last(at)) {
            p[j] = ds[j] = 0;
            return;
          }
          p[j] = std::exp(scale * detail::dot(q + at * stride, k, width) - log_total[at]);
          ds[j] = p[j] * (detail::dot(slope + at * all, v, width) - mine[at]) * scale;
        });
        lane.each(width, [=](std::int64_t c) {
          W x = dk[c], z = dv[c];
          for (std::int64_t j = 0; j < n; ++j) {
            x += ds[j] * W(q[(t + j) * stride + c]);
            z += p[j] * W(slope[(t + j) * all + c]);
          }
          dk[c] = x, dv[c] = z;
        });
      }
    }
    T *const dk_to = dqkv + place.keys(first_head) + i * stride, *const dv_to =
                                                                     dqkv +
                                                                     place.values(first_head) +
                                                                     i * stride;
    lane.each(width, [=](std::int64_t c) { dk_to[c] = T(dk[c]), dv_to[c] = T(dv[c]); });
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
