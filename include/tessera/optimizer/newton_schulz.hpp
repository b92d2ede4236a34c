/// A matrix to the nearest one with orthonormal rows or columns, by products alone. Jordan et al.,
/// kellerjordan.github.io/posts/muon, 2024.
#pragma once

#include <tessera/backend/enabled.hpp>
#include <tessera/backend/gemm.hpp>
#include <tessera/kernels/muon.hpp>
#include <tessera/kernels/reduce.hpp>
#include <tessera/plan/matrices.hpp>

#include <cmath>

namespace tessera::inline TESSERA_SETTING {

/// x / |x| five times through a x + b (x x^T) x + c (x x^T)^2 x, whose slope at 0 is so steep that
/// singular values end between 0.68 and 1.14 rather than at 1. A tall matrix is multiplied from the
/// right, so that squares have the shorter side. Products are planned here, once for a shape.
class NewtonSchulz {
 public:
  static constexpr int iterations = 5;
  static constexpr double a = 3.4445, b = -4.7750, c = 2.0315;

  NewtonSchulz(std::int64_t rows, std::int64_t cols)
      : rows_(rows),
        cols_(cols),
        side_(std::min(rows, cols)),
        gram_(gram(rows, cols), Cpu::gemm_workspace),
        square_({.m = side_, .n = side_, .k = side_}, Cpu::gemm_workspace),
        apply_(apply(rows, cols), Cpu::gemm_workspace) {}

  bool is(std::int64_t rows, std::int64_t cols) const { return rows == rows_ && cols == cols_; }

  /// x = scale orthogonal(x) in place. workspace: what products may use, then
  /// orthogonal_workspace(...) bytes.
  void run(Real* x, double scale, std::byte* workspace) const {
    std::int64_t const n = rows_ * cols_;
    auto* const square = reinterpret_cast<Real*>(workspace + Cpu::gemm_workspace);
    Real* const gram = square + round_up(side_ * side_, buffer_elements);
    Real* const other = gram + round_up(side_ * side_, buffer_elements);
    double const norm =
        std::sqrt(kernel::squared_sum(CpuTeam{}, x, n, reinterpret_cast<double*>(other)));
    Real const shrink = Real(1 / (norm + 1e-7));
    CpuTeam{}.each(n, [=](std::int64_t i) { x[i] *= shrink; });
    Real *from = x, *to = other;
    for (int k = 0; k < iterations; ++k, std::swap(from, to)) {
      gram_.run(from, from, gram, nullptr, nullptr, workspace);
      square_.run(gram, gram, square, nullptr, nullptr, workspace);
      CpuTeam{}.run(kernel::Quadratic<Real>{gram, square, side_, a, b, c});
      if (rows_ <= cols_)
        apply_.run(gram, from, to, nullptr, nullptr, workspace);
      else
        apply_.run(from, gram, to, nullptr, nullptr, workspace);
    }
    Real const grow = Real(scale);
    Real const* const done = from;
    CpuTeam{}.each(n, [=](std::int64_t i) { x[i] = grow * done[i]; });
  }

 private:
  static constexpr std::int64_t buffer_elements = buffer_alignment / std::int64_t(sizeof(Real));

  static GemmShape gram(std::int64_t rows, std::int64_t cols) {
    if (rows <= cols) return {.m = rows, .n = rows, .k = cols, .transpose_b = true};
    return {.m = cols, .n = cols, .k = rows, .transpose_a = true};
  }
  static GemmShape apply(std::int64_t rows, std::int64_t cols) {
    return {.m = rows, .n = cols, .k = std::min(rows, cols)};
  }

  std::int64_t rows_, cols_, side_;
  CpuGemm<Real> gram_, square_, apply_;
};

}  // namespace tessera::inline TESSERA_SETTING
