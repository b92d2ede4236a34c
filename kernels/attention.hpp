/// Self-attention, written plainly: the reference for faster ones, and what double runs on.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>

#include <cmath>
#include <cstdint>

namespace tessera::inline TESSERA_SETTING {

/// One call: batch sequences of tokens. Each key and value head serves heads / kv_heads query heads
/// (Ainslie et al., arXiv 2305.13245); the packed operand has q | k | v, heads one after another in
/// each.
struct AttentionShape {
  std::int64_t batch = 0, tokens = 0;
  std::int64_t heads = 0, kv_heads = 0, width = 0;  // width: of one head
  bool causal = true;
  std::int64_t window = 0;  // keys that a query sees on a side, its own among them; 0: all

  TESSERA_BOTH constexpr std::int64_t all() const { return heads * width; }
  TESSERA_BOTH constexpr std::int64_t packed() const { return (heads + 2 * kv_heads) * width; }
  TESSERA_BOTH constexpr std::int64_t group() const { return heads / kv_heads; }

  /// Pairs of a query and a key that it sees, in one head of one sequence without documents.
  constexpr double pairs() const {
    double const t = double(tokens), w = window > 0 && window < tokens ? double(window) : t;
    double const back = w * (w + 1) / 2 + (t - w) * w;
    return causal ? back : 2 * back - t;
  }
};

namespace kernel {

/// The keys that a query sees are those in [first, last). Both rise with the query.
struct Visible {
  std::int64_t tokens, window;
  bool causal;
  std::int32_t const *begin, *end;  // of the document that a token is part of; null: there is one

  TESSERA_BOTH static Visible of(AttentionShape const& s, std::int32_t const* documents,
                                 std::int64_t sequence) {
    std::int32_t const* const at = documents ? documents + 2 * sequence * s.tokens : nullptr;
    return {s.tokens, s.window, s.causal, at, at ? at + s.tokens : nullptr};
  }
  TESSERA_BOTH std::int64_t first(std::int64_t query) const {
    std::int64_t const document = begin ? begin[query] : 0, near = query - window + 1;
    return window > 0 && near > document ? near : document;
  }
  TESSERA_BOTH std::int64_t last(std::int64_t query) const {
    if (causal) return query + 1;
    std::int64_t const document = end ? end[query] : tokens, near = query + window;
    return window > 0 && near < document ? near : document;
  }
};

/// Where the document of each token begins and ends: a separator is the last token of its document.
///
/// Shapes  documents [sequences, 2, length]: begins | ends · tokens [sequences, length]
struct Documents {
  std::int32_t* documents;
  std::int32_t const* tokens;
  std::int64_t sequences, length;
  std::int32_t separator;

  TESSERA_BOTH std::int64_t rows() const { return sequences; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    std::int32_t const* const in = tokens + r * length;
    std::int32_t* const begin = documents + 2 * r * length;
    lane.once([&] {
      std::int32_t start = 0, stop = std::int32_t(length);
      for (std::int64_t t = 0; t < length; ++t) {
        begin[t] = start;
        if (in[t] == separator) start = std::int32_t(t + 1);
      }
      for (std::int64_t t = length; t-- > 0;) {
        if (in[t] == separator) stop = std::int32_t(t + 1);
        begin[length + t] = stop;
      }
    });
  }
};

namespace detail {

/// Where the operands of query head r % heads of sequence r / heads lie.
struct HeadPlace {
  AttentionShape s;

  TESSERA_BOTH std::int64_t sequence(std::int64_t r) const { return r / s.heads; }
  TESSERA_BOTH std::int64_t queries(std::int64_t r) const {
    return sequence(r) * s.tokens * s.packed() + r % s.heads * s.width;
  }
  TESSERA_BOTH std::int64_t keys(std::int64_t r) const {
    return sequence(r) * s.tokens * s.packed() + s.all() + r % s.heads / s.group() * s.width;
  }
  TESSERA_BOTH std::int64_t values(std::int64_t r) const { return keys(r) + s.kv_heads * s.width; }
  TESSERA_BOTH std::int64_t plain(std::int64_t r) const {
    return sequence(r) * s.tokens * s.all() + r % s.heads * s.width;
  }
};

template <class T, Lane L>
TESSERA_BOTH T dot(L const& lane, std::int64_t n, T const* a, T const* b) {
  return lane.sum(n, [=](std::int64_t c) { return a[c] * b[c]; });
}

}  // namespace detail

/// y[t] = sum over the keys s that t sees of p[t, s] v[s];
/// p[t, s] = exp(q[t] k[s] / sqrt(width) - log_sum[t])
///
/// Shapes  qkv [batch, tokens, packed] · y [batch, tokens, heads * width]
///         log_sum [batch, heads, tokens], kept for backward · documents: of Documents, or null
/// Types   T is float or double: y holds the sums
template <class T>
struct Attention {
  T *y, *log_sum;
  T const* qkv;
  AttentionShape s;
  std::int32_t const* documents;

  TESSERA_BOTH std::int64_t rows() const { return s.batch * s.heads; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    detail::HeadPlace const place{s};
    Visible const sees = Visible::of(s, documents, place.sequence(r));
    std::int64_t const stride = s.packed(), width = s.width;
    T const *const q = qkv + place.queries(r), *const k = qkv + place.keys(r),
                   *const v = qkv + place.values(r);
    T* const out = y + place.plain(r);
    T const scale = 1 / std::sqrt(T(width));
    for (std::int64_t t = 0; t < s.tokens; ++t) {
      T most = -INFINITY, total = 0;
      for (std::int64_t i = sees.first(t); i < sees.last(t); ++i) {
        T const score = scale * detail::dot(lane, width, q + t * stride, k + i * stride);
        T const higher = score > most ? score : most;
        total = total * std::exp(most - higher) + std::exp(score - higher);
        most = higher;
      }
      T const log_total = most + std::log(total);
      lane.once([&] { log_sum[r * s.tokens + t] = log_total; });

      T* const yt = out + t * s.all();
      lane.each(width, [=](std::int64_t c) { yt[c] = 0; });
      for (std::int64_t i = sees.first(t); i < sees.last(t); ++i) {
        T const score = scale * detail::dot(lane, width, q + t * stride, k + i * stride);
        T const p = std::exp(score - log_total);
        T const* const vi = v + i * stride;
        lane.each(width, [=](std::int64_t c) { yt[c] += p * vi[c]; });
      }
    }
  }
};

/// dv[s] = sum over t of p[t, s] dy[t];  dp[t, s] = dy[t] v[s]
/// ds[t, s] = p[t, s] (dp[t, s] - dy[t] y[t]) / sqrt(width);  dq = ds k;  dk = ds^T q
///
/// Shapes  as Attention; dqkv as qkv; a row of the kernel is a key and value head
template <class T>
struct AttentionInput {
  T* dqkv;
  T const *dy, *qkv, *y, *log_sum;
  AttentionShape s;
  std::int32_t const* documents;

  TESSERA_BOTH std::int64_t rows() const { return s.batch * s.kv_heads; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t row) const {
    detail::HeadPlace const place{s};
    std::int64_t const stride = s.packed(), n = s.width, first = row * s.group();
    T *const dk = dqkv + place.keys(first), *const dv = dqkv + place.values(first);
    for (std::int64_t t = 0; t < s.tokens; ++t)
      lane.each(n, [=](std::int64_t c) { dk[t * stride + c] = dv[t * stride + c] = 0; });
    for (std::int64_t r = first; r < first + s.group(); ++r) head(lane, place, r, dk, dv);
  }

 private:
  template <Lane L>
  TESSERA_BOTH void head(L const& lane, detail::HeadPlace const& place, std::int64_t r, T* dk,
                         T* dv) const {
    Visible const sees = Visible::of(s, documents, place.sequence(r));
    std::int64_t const stride = s.packed(), n = s.width;
    T const scale = 1 / std::sqrt(T(n));
    for (std::int64_t t = 0; t < s.tokens; ++t) {
      T const* const qt = qkv + place.queries(r) + t * stride;
      T const *const dyt = dy + place.plain(r) + t * s.all(), *const yt =
                                                                  y + place.plain(r) + t * s.all();
      T* const dqt = dqkv + place.queries(r) + t * stride;
      lane.each(n, [=](std::int64_t c) { dqt[c] = 0; });
      T const own = detail::dot(lane, n, dyt, yt), log_total = log_sum[r * s.tokens + t];
      for (std::int64_t i = sees.first(t); i < sees.last(t); ++i) {
        T const *const ki = qkv + place.keys(r) + i * stride, *const vi = qkv + place.values(r) +
                                                                          i * stride;
        T *const dki = dk + i * stride, *const dvi = dv + i * stride;
        T const p = std::exp(scale * detail::dot(lane, n, qt, ki) - log_total);
        T const ds = p * (detail::dot(lane, n, dyt, vi) - own) * scale;
        lane.each(n, [=](std::int64_t c) {
          dqt[c] += ds * ki[c];
          dki[c] += ds * qt[c];
          dvi[c] += p * dyt[c];
        });
      }
    }
  }
};

}  // namespace kernel

}  // namespace tessera::inline TESSERA_SETTING
