/// Kernels on a device beside references in double: operands, the distance, and what is said of it.
#pragma once

#include <tessera/backend/cuda/team.hpp>
#include <tessera/core/dtype.hpp>
#include <tessera/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <type_traits>
#include <vector>

#include "../backend/cuda/device.hpp"
#include "../kernels/values.hpp"

namespace tessera::test {

/// Half a unit in the last place of 1: what storing a value in T costs, as a share of it.
template <class T>
inline constexpr double unit = std::is_same_v<T, bf16>   ? 0x1p-8
                               : std::is_same_v<T, fp16> ? 0x1p-11
                                                         : 0x1p-24;

/// As many roundings of floats, and that of a result stored in 16 bits.
template <class T>
constexpr double roundings(double of_floats) {
  return of_floats * unit<float> + (sizeof(T) == 2 ? unit<T> : 0);
}
/// Of a sum of n terms of either sign, in any order: its partial sums err by a unit each, up or
/// down.
inline double of_sum(std::int64_t n) {
  return 8 + 2 * std::sqrt(double(n));
}

template <class T>
inline constexpr char const* type_name = std::is_same_v<T, bf16>   ? "bf16"
                                         : std::is_same_v<T, fp16> ? "fp16"
                                                                   : "fp32";

template <class T>
std::vector<double> wide(std::vector<T> const& v) {
  return std::vector<double>(v.begin(), v.end());
}

/// A line per check; failed() if one is beyond its bound.
class Judge {
 public:
  explicit Judge(bool small_) : small(small_) {}

  bool const small;  // shapes for tools under which a program is slow

  bool failed() const { return failed_ > 0; }
  int passed() const { return passed_; }
  template <class Kernel>
  void run(Kernel const& kernel) const {
    CudaTeam{stream_.get()}.run(kernel);
  }
  cudaStream_t stream() const { return stream_.get(); }

  template <class T>
  Buffer<T> put(std::vector<T> const& v) const {
    return Buffer<T>(v, stream_);
  }
  template <class T>
  Buffer<T> some(std::int64_t n, std::uint64_t seed) const {
    return put(values<T>(n, seed));
  }
  /// What a kernel must write: not a number before.
  template <class T>
  Buffer<T> blank(std::int64_t n) const {
    return put(std::vector<T>(std::size_t(n), T(NAN)));
  }

  /// The largest |found - expected| / max(|expected|, least). least < 0: the root of the mean
  /// square of what is expected, so that a cancelled sum is measured by its terms.
  void check(std::string const& what, std::vector<double> const& found,
             std::vector<double> const& expected, double bound, double least = -1) {
    if (least < 0) {
      double squares = 0;
      for (double const x : expected) squares += x * x;
      least = std::sqrt(squares / double(expected.size()));
    }
    double most = found.size() == expected.size() ? 0 : INFINITY;
    for (std::size_t i = 0; i < expected.size() && i < found.size(); ++i) {
      double const d = std::abs(found[i] - expected[i]);
      if (d > 0) most = std::max(most, d / std::max(std::abs(expected[i]), least));
      if (std::isnan(d)) most = INFINITY;
    }
    say(what, most, bound);
  }
  template <class T>
  void check(std::string const& what, Buffer<T> const& found, std::vector<double> const& expected,
             double bound, double least = -1) {
    check(what, wide(found.read()), expected, bound, least);
  }
  void say(std::string const& what, double error, double bound) {
    bool const good = error <= bound;
    (good ? passed_ : failed_) += 1;
    std::printf("%s  %-52s %.2e of %.2e\n", good ? "passed" : "FAILED", what.c_str(), error, bound);
  }

 private:
  Stream stream_;
  int passed_ = 0, failed_ = 0;
};

struct Size {
  std::int64_t rows, cols;
  std::string text() const {
    return " [" + std::to_string(rows) + ", " + std::to_string(cols) + "]";
  }
};

/// Of a transformer's step, with rows for blocks and for warps, and one that no vector, block or
/// tile divides.
inline std::vector<Size> sizes(Judge const& judge) {
  if (judge.small) return {{24, 256}, {5, 129}, {3, 521}};
  return {{4096, 768}, {8192, 128}, {37, 1021}};
}

}  // namespace tessera::test
