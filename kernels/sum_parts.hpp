/// Sums of buffers: of every rank's part by halves, which a reduce leaves with the part's owner;
/// and from the left.
#pragma once

#include <tessera/core/team.hpp>
#include <tessera/kernels/chunk.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// out (+)= the sum of all parts, in the order of backend/cpu/buffer_sum.hpp: the sum of the first
/// half of them plus that of the second, and so on; an odd number from the left.
///
/// Shapes  out, own [n] · others [ranks - 1, n]: the other ranks', in rank order
/// Moves   (ranks + 1, or + 2) * sizeof(T) bytes per element
template <class T>
struct SumParts {
  static constexpr int most_levels = 16;

  T* out;
  T const *own, *others;
  std::int64_t n;
  int rank, ranks;
  bool accumulate;

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(n); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    Chunk const chunk = Chunk::at(r, n);
    int odd = ranks;
    for (int level = 1; odd % 2 == 0 && level < most_levels; ++level) odd /= 2;
    lane.each(chunk.size, [=, *this](std::int64_t c) {
      std::int64_t const i = chunk.first + c;
      // Sums of 1, 2, 4, ... times `odd` parts that wait for their other half.
      T waiting[most_levels];
      T sum = 0;
      for (int first = 0, leaf = 0; first < ranks; first += odd, ++leaf) {
        sum = part(first, i);
        for (int k = first + 1; k < first + odd; ++k) sum = sum + part(k, i);
        int level = 0;
        for (; (leaf >> level) & 1; ++level) sum = waiting[level] + sum;
        waiting[level] = sum;
      }
      out[i] = accumulate ? out[i] + sum : sum;
    });
  }

 private:
  TESSERA_BOTH T part(int k, std::int64_t i) const {
    return k == rank ? own[i] : others[(k < rank ? k : k - 1) * n + i];
  }
};

/// out = part[0] + part[1] + ... from the left; out may be any of them.
///
/// Shapes  out and each part [n]
template <class T>
struct SumInOrder {
  static constexpr int most = 32;  // halvings of any number of samples, or uses of a tensor

  T* out;
  std::int64_t n;
  int parts;
  T const* part[most];

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(n); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    Chunk const chunk = Chunk::at(r, n);
    lane.each(chunk.size, [=, *this](std::int64_t c) {
      std::int64_t const i = chunk.first + c;
      T sum = part[0][i];
      for (int k = 1; k < parts; ++k) sum = sum + part[k][i];
      out[i] = sum;
    });
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
