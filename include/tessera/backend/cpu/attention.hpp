/// Causal self-attention on cores. Scores exist for one tile of queries and keys at a time, on the
/// stack of the thread that works on it (below 256 KiB), so memory is linear in tokens.
#pragma once

#include <tessera/backend/cpu/attention_tile.hpp>
#include <tessera/backend/cpu/team.hpp>
#include <tessera/core/setting.hpp>
#include <tessera/kernels/attention.hpp>

#include <cstddef>

namespace tessera::inline TESSERA_SETTING {

/// qkv [batch, tokens, 3 C] (q | k | v, heads one after another in each) -> y [batch, tokens, C]
/// and log_sum [batch, heads, tokens]; width: of one head. The same bits for any number of threads.
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

namespace detail {

/// Heads that tiles are made for: whole vectors of eight.
constexpr bool has_tiles(int width) {
  return width >= 8 && width <= simd::widest && width % 8 == 0;
}

/// Head r is number r % heads of sequence r / heads.
struct Heads {
  int batch, tokens, heads, width;
  float const *qkv, *y, *dy;

  int count() const { return batch * heads; }
  kernel::detail::HeadPlace place() const { return {tokens, heads, width}; }
  simd::Head operator[](int r) const {
    std::ptrdiff_t const all = place().all(), plain = place().plain(r);
    float const* const q = qkv + place().packed(r);
    return {q, q + all, q + 2 * all, y + plain, dy + plain, 3 * all, all, tokens, width};
  }
};

}  // namespace detail

template <>
inline void Attention<float>::forward(int batch, int tokens, int heads, int width, float const* qkv,
                                      float* y, float* log_sum) {
  if (!detail::has_tiles(width)) {
    CpuTeam{}.run(kernel::Attention<float>{y, log_sum, qkv, batch, tokens, heads, width});
    return;
  }
  detail::Heads const all{batch, tokens, heads, width, qkv, y, y};
  int const size = simd::tile_size(width), tiles = (tokens + size - 1) / size;
  auto const tile = [&](int r, int t) {
    simd::attend(all[r], t * size, y + all.place().plain(r), log_sum + std::ptrdiff_t(r) * tokens);
  };
// A tile of queries is a task of its own, so few heads still use every thread.
#pragma omp parallel for collapse(2) schedule(dynamic)
  for (int r = 0; r < all.count(); ++r)
    for (int t = 0; t < tiles; ++t) tile(r, t);
}

template <>
inline void Attention<float>::backward(int batch, int tokens, int heads, int width, float const* dy,
                                       float const* qkv, float const* y, float const* log_sum,
                                       float* dqkv) {
  if (!detail::has_tiles(width)) {
    CpuTeam{}.run(
        kernel::AttentionInput<float>{dqkv, dy, qkv, y, log_sum, batch, tokens, heads, width});
    return;
  }
  detail::Heads const all{batch, tokens, heads, width, qkv, y, dy};
#pragma omp parallel for schedule(dynamic)
  for (int r = 0; r < all.count(); ++r) {
    float* const dq = dqkv + all.place().packed(r);
    std::ptrdiff_t const part = all.place().all();
    simd::attend_back(all[r], log_sum + std::ptrdiff_t(r) * tokens, dq, dq + part, dq + 2 * part);
  }
}

}  // namespace tessera::inline TESSERA_SETTING
