/// Sums of buffers, element by element, in an order that only their number decides.
#pragma once

#include <tessera/core/setting.hpp>

#include <algorithm>
#include <cstdint>

namespace tessera::inline TESSERA_SETTING {

/// The terms of one block: partial sums stay in the first-level cache while buffers stream past.
template <class T, class PartOf>
class BlockSum {
 public:
  static constexpr std::int64_t block = 8192 / std::int64_t(sizeof(T));
  static constexpr int most_levels = 16;  // of halving: more buffers than there are machines

  BlockSum(PartOf const& part_of, std::int64_t begin, std::int64_t n)
      : part_of_(part_of), begin_(begin), n_(n) {}

  /// From the left: ((b0 + b1) + b2) + ...
  T const* in_order(int buffers) {
    left(0, 0, buffers);
    return total_[0];
  }
  /// The sum of the first half of the buffers plus that of the second, each found in the same way;
  /// an odd number of them from the left.
  T const* by_halves(int buffers) {
    halves(0, 0, buffers);
    return total_[0];
  }

 private:
  T const* part(int i) const { return part_of_(i) + begin_; }

  void halves(int level, int first, int count) {
    if (count % 2 != 0 || count == 2 || level + 1 == most_levels) return left(level, first, count);
    T* const total = total_[level];
    if (count == 4) {
      T const *a = part(first), *b = part(first + 1), *c = part(first + 2), *d = part(first + 3);
#pragma omp simd
      for (std::int64_t i = 0; i < n_; ++i) total[i] = (a[i] + b[i]) + (c[i] + d[i]);
      return;
    }
    halves(level, first, count / 2);
    halves(level + 1, first + count / 2, count / 2);
    T const* const other = total_[level + 1];
#pragma omp simd
    for (std::int64_t i = 0; i < n_; ++i) total[i] += other[i];
  }

  void left(int level, int first, int count) {
    T* const total = total_[level];
    int r = count > 1 ? 2 : 1;
    if (count > 1) {
      T const *a = part(first), *b = part(first + 1);
#pragma omp simd
      for (std::int64_t i = 0; i < n_; ++i) total[i] = a[i] + b[i];
    } else {
      std::copy_n(part(first), n_, total);
    }
    for (; r + 1 < count; r += 2) {
      T const *a = part(first + r), *b = part(first + r + 1);
#pragma omp simd
      for (std::int64_t i = 0; i < n_; ++i) total[i] = total[i] + a[i] + b[i];
    }
    if (r < count) {
      T const* const a = part(first + r);
#pragma omp simd
      for (std::int64_t i = 0; i < n_; ++i) total[i] += a[i];
    }
  }

  PartOf const& part_of_;
  std::int64_t begin_, n_;
  T total_[most_levels][block];
};

namespace detail {

template <class T, class PartOf, class Sum>
void sum_blocks(T* out, bool accumulate, std::int64_t count, PartOf const& part_of,
                Sum const& sum) {
  using Block = BlockSum<T, PartOf>;
  std::int64_t const blocks = (count + Block::block - 1) / Block::block;
#pragma omp parallel for schedule(static) if (blocks > 16)
  for (std::int64_t k = 0; k < blocks; ++k) {
    std::int64_t const begin = k * Block::block, n = std::min(Block::block, count - begin);
    Block block(part_of, begin, n);
    T const* const total = sum(block);
    T* const to = out + begin;
    if (accumulate) {
#pragma omp simd
      for (std::int64_t i = 0; i < n; ++i) to[i] += total[i];
    } else {
      std::copy_n(total, n, to);
    }
  }
}

}  // namespace detail

/// out = the sum of all ranks' parts by halves; accumulate: out = out + that sum. out may be one of
/// the parts. part_of(r): where rank r's `count` elements lie.
template <class T, class PartOf>
void sum_ranks(T* out, bool accumulate, std::int64_t count, int ranks, PartOf const& part_of) {
  detail::sum_blocks(out, accumulate, count, part_of,
                     [&](auto& block) { return block.by_halves(ranks); });
}

/// out = part 0 + part 1 + ... from the left; out may be one of the parts.
template <class T, class PartOf>
void sum_in_order(T* out, std::int64_t count, int parts, PartOf const& part_of) {
  detail::sum_blocks(out, false, count, part_of,
                     [&](auto& block) { return block.in_order(parts); });
}

}  // namespace tessera::inline TESSERA_SETTING
