/// What a matrix product is: what every backend's Gemm is made from.
#pragma once

#include <tessera/core/dtype.hpp>
#include <tessera/core/error.hpp>

#include <cstdint>
#include <string>

namespace tessera::inline TESSERA_SETTING {

/// C[m, n] = op(A)[m, k] op(B)[k, n] (+ bias[n]) (+ D[m, n], or + what C held). Row-major; ld* is
/// the distance of rows in elements, 0 if they are dense. D lies like C.
struct GemmShape {
  std::int64_t m, n, k;
  bool transpose_a = false, transpose_b = false;
  std::int64_t lda = 0, ldb = 0, ldc = 0;
  bool bias = false, accumulate = false, add = false;
  DType in = DType::real, out = DType::real;  // of A, B and bias; of C. D and sums are real

  constexpr double flops() const { return 2.0 * double(m) * double(n) * double(k); }
  constexpr GemmShape dense() const {
    GemmShape s = *this;
    if (s.lda == 0) s.lda = transpose_a ? m : k;
    if (s.ldb == 0) s.ldb = transpose_b ? k : n;
    if (s.ldc == 0) s.ldc = n;
    return s;
  }
  std::string text() const {
    return "[" + std::to_string(m) + ", " + std::to_string(k) + "]" + (transpose_a ? "^T" : "") +
           " x [" + std::to_string(k) + ", " + std::to_string(n) + "]" + (transpose_b ? "^T" : "");
  }
};

namespace detail {

inline GemmShape checked(GemmShape const& shape) {
  GemmShape const s = shape.dense();
  if (s.m < 1 || s.n < 1 || s.k < 1 || s.lda < (s.transpose_a ? s.m : s.k) ||
      s.ldb < (s.transpose_b ? s.k : s.n) || s.ldc < s.n)
    throw Error("matrix product " + s.text() + ": extents must be positive and rows not overlap");
  if (s.accumulate && s.add)
    throw Error("matrix product " + s.text() + ": it adds to C or adds D, not both");
  if (s.out != DType::real && s.out != s.in)
    throw Error("matrix product " + s.text() + ": C is real or stored like A and B");
  if ((s.accumulate || s.add) && s.out != DType::real)
    throw Error("matrix product " + s.text() + ": it can add to floats only");
  return s;
}

}  // namespace detail

}  // namespace tessera::inline TESSERA_SETTING
