/// A sum over the ranks' buffers, element by element, always in rank order.
#pragma once

#include <tessera/core/setting.hpp>

#include <algorithm>
#include <cstdint>

namespace tessera::inline TESSERA_SETTING {

/// The running sum of one block stays in the first-level cache while the ranks' parts stream past.
template <class T>
struct RankSum {
  static constexpr std::int64_t block = 16384 / std::int64_t(sizeof(T));
  T total[block];

  template <class PartOf>
  void run(std::int64_t begin, std::int64_t n, int ranks, PartOf const& part_of) {
    int r = ranks > 1 ? 2 : 1;
    if (ranks > 1) {
      T const *a = part_of(0) + begin, *b = part_of(1) + begin;
#pragma omp simd
      for (std::int64_t i = 0; i < n; ++i) total[i] = a[i] + b[i];
    } else {
      std::copy_n(part_of(0) + begin, n, total);
    }
    for (; r + 1 < ranks; r += 2) {
      T const *a = part_of(r) + begin, *b = part_of(r + 1) + begin;
#pragma omp simd
      for (std::int64_t i = 0; i < n; ++i) total[i] = total[i] + a[i] + b[i];
    }
    if (r < ranks) {
      T const* a = part_of(r) + begin;
#pragma omp simd
      for (std::int64_t i = 0; i < n; ++i) total[i] += a[i];
    }
  }
};

/// out = part 0 + part 1 + ..., from the left; accumulate: out = out + that sum. out may be one of
/// the parts. part_of(r): where rank r's `count` elements lie.
template <class T, class PartOf>
void sum_ranks(T* out, bool accumulate, std::int64_t count, int ranks, PartOf const& part_of) {
  constexpr std::int64_t block = RankSum<T>::block;
  std::int64_t const blocks = (count + block - 1) / block;
#pragma omp parallel for schedule(static) if (blocks > 8)
  for (std::int64_t k = 0; k < blocks; ++k) {
    std::int64_t const begin = k * block, n = std::min(block, count - begin);
    RankSum<T> sum;
    sum.run(begin, n, ranks, part_of);
    T* const to = out + begin;
    if (accumulate) {
#pragma omp simd
      for (std::int64_t i = 0; i < n; ++i) to[i] += sum.total[i];
    } else {
      std::copy_n(sum.total, n, to);
    }
  }
}

}  // namespace tessera::inline TESSERA_SETTING
