/// Causal self-attention, written plainly: the reference for faster ones, and what double runs on.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>

#include <cmath>
#include <cstdint>

namespace tessera::inline TESSERA_SETTING::kernel {

namespace detail {

/// Where row r, that is (sequence r / heads, head r % heads), lies in the packed operands.
struct HeadPlace {
  std::int64_t tokens, heads, width;  // width: of one head

  TESSERA_BOTH std::int64_t all() const { return heads * width; }
  TESSERA_BOTH std::int64_t packed(std::int64_t r) const {
    return r / heads * tokens * 3 * all() + r % heads * width;
  }
  TESSERA_BOTH std::int64_t plain(std::int64_t r) const {
    return r / heads * tokens * all() + r % heads * width;
  }
};

template <class T, Lane L>
TESSERA_BOTH T dot(L const& lane, std::int64_t n, T const* a, T const* b) {
  return lane.sum(n, [=](std::int64_t c) { return a[c] * b[c]; });
}

}  // namespace detail

/// y[t] = sum over s <= t of p[t, s] v[s];  p[t, s] = exp(q[t] k[s] / sqrt(width) - log_sum[t])
///
/// Shapes  qkv [batch, tokens, 3 C]: q | k | v, heads one after another in each; C = heads * width
///         y [batch, tokens, C] · log_sum [batch, heads, tokens], kept for backward
/// Types   T is float or double: y holds the sums
template <class T>
struct Attention {
  T *y, *log_sum;
  T const* qkv;
  std::int64_t batch, tokens, heads, width;

  TESSERA_BOTH std::int64_t rows() const { return batch * heads; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    detail::HeadPlace const place{tokens, heads, width};
    std::int64_t const all = place.all(), stride = 3 * all;
    T const *const q = qkv + place.packed(r), *const k = q + all, *const v = k + all;
    T* const out = y + place.plain(r);
    T const scale = 1 / std::sqrt(T(width));
    for (std::int64_t t = 0; t < tokens; ++t) {
      T most = -INFINITY, total = 0;
      for (std::int64_t s = 0; s <= t; ++s) {
        T const score = scale * detail::dot(lane, width, q + t * stride, k + s * stride);
        T const higher = score > most ? score : most;
        total = total * std::exp(most - higher) + std::exp(score - higher);
        most = higher;
      }
      T const log_total = most + std::log(total);
      lane.once([&] { log_sum[r * tokens + t] = log_total; });

      T* const yt = out + t * all;
      lane.each(width, [=](std::int64_t c) { yt[c] = 0; });
      for (std::int64_t s = 0; s <= t; ++s) {
        T const score = scale * detail::dot(lane, width, q + t * stride, k + s * stride);
        T const p = std::exp(score - log_total);
        T const* const vs = v + s * stride;
        lane.each(width, [=](std::int64_t c) { yt[c] += p * vs[c]; });
      }
    }
  }
};

/// dv[s] = sum over t of p[t, s] dy[t];  dp[t, s] = dy[t] v[s]
/// ds[t, s] = p[t, s] (dp[t, s] - dy[t] y[t]) / sqrt(width);  dq = ds k;  dk = ds^T q
///
/// Shapes  as Attention; dqkv as qkv
template <class T>
struct AttentionInput {
  T* dqkv;
  T const *dy, *qkv, *y, *log_sum;
  std::int64_t batch, tokens, heads, width;

  TESSERA_BOTH std::int64_t rows() const { return batch * heads; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    detail::HeadPlace const place{tokens, heads, width};
    std::int64_t const all = place.all(), stride = 3 * all, n = width;
    T const* const q = qkv + place.packed(r);
    T* const dq = dqkv + place.packed(r);
    T const scale = 1 / std::sqrt(T(width));
    for (std::int64_t t = 0; t < tokens; ++t) {
      T const* const qt = q + t * stride;
      T const *const dyt = dy + place.plain(r) + t * all, *const yt = y + place.plain(r) + t * all;
      T* const dqt = dq + t * stride;
      lane.each(n, [=](std::int64_t c) { dqt[c] = dqt[all + c] = dqt[2 * all + c] = 0; });
      T const own = detail::dot(lane, n, dyt, yt), log_total = log_sum[r * tokens + t];
      for (std::int64_t s = 0; s <= t; ++s) {
        T const *const ks = q + all + s * stride, *const vs = ks + all;
        T *const dks = dq + all + s * stride, *const dvs = dks + all;
        T const p = std::exp(scale * detail::dot(lane, n, qt, ks) - log_total);
        T const ds = p * (detail::dot(lane, n, dyt, vs) - own) * scale;
        lane.each(n, [=](std::int64_t c) {
          dqt[c] += ds * ks[c];
          dks[c] += ds * qt[c];
          dvs[c] += p * dyt[c];
        });
      }
    }
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
