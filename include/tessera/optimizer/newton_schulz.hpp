/// A matrix to the nearest one with orthonormal rows or columns, by products alone. Jordan et al.,
/// kellerjordan.github.io/posts/muon, 2024.
#pragma once

#include <tessera/backend/enabled.hpp>
#include <tessera/backend/gemm.hpp>
#include <tessera/kernels/muon.hpp>
#include <tessera/kernels/reduce.hpp>
#include <tessera/optimizer/optimizer.hpp>
#include <tessera/plan/matrices.hpp>

#include <algorithm>
#include <utility>

namespace tessera::inline TESSERA_SETTING {

/// x / |x| five times through a x + b (x x^T) x + c (x x^T)^2 x, whose slope at 0 is so steep that
/// singular values end between 0.68 and 1.14 rather than at 1. A tall matrix is multiplied from the
/// right, so that squares have the shorter side. Products are planned here, once for a shape.
template <class B>
class NewtonSchulz final : public Orthogonalizer {
 public:
  static constexpr int iterations = 5;
  static constexpr double a = 3.4445, b = -4.7750, c = 2.0315;

  NewtonSchulz(std::int64_t rows, std::int64_t cols)
      : rows_(rows),
        cols_(cols),
        side_(std::min(rows, cols)),
        gram_(gram(rows, cols), B::gemm_workspace),
        square_({.m = side_, .n = side_, .k = side_}, B::gemm_workspace),
        apply_(apply(rows, cols), B::gemm_workspace) {}

  void run(void* queue, Real* x, double scale, std::byte* workspace) const override {
    auto const team = B::team::on(queue);
    auto const multiply = [&](Gemm const& product, Real const* left, Real const* right, Real* to) {
      product.run(left, right, to, nullptr, nullptr, workspace, queue);
    };
    std::int64_t const n = rows_ * cols_;
    auto* const square = reinterpret_cast<Real*>(workspace + B::gemm_workspace);
    Real* const gram = square + round_up(side_ * side_, buffer_elements);
    Real* const other = gram + round_up(side_ * side_, buffer_elements);
    auto* const squares = reinterpret_cast<double*>(square);  // until the first product
    kernel::squared_sum(team, squares, x, n, reinterpret_cast<double*>(other));
    team.run(kernel::Normalize<Real>{.y = x, .x = x, .squares = squares, .n = n});
    Real *from = x, *to = other;
    for (int k = 0; k < iterations; ++k, std::swap(from, to)) {
      multiply(gram_, from, from, gram);
      multiply(square_, gram, gram, square);
      team.run(kernel::Quadratic<Real>{gram, square, side_, a, b, c});
      if (rows_ <= cols_)
        multiply(apply_, gram, from, to);
      else
        multiply(apply_, from, gram, to);
    }
    team.run(kernel::Stretch<Real>{.y = x, .x = from, .n = n, .by = scale});
  }

 private:
  using Gemm = typename B::template Gemm<Real>;
  static constexpr std::int64_t buffer_elements = buffer_alignment / std::int64_t(sizeof(Real));

  static GemmShape gram(std::int64_t rows, std::int64_t cols) {
    if (rows <= cols) return {.m = rows, .n = rows, .k = cols, .transpose_b = true};
    return {.m = cols, .n = cols, .k = rows, .transpose_a = true};
  }
  static GemmShape apply(std::int64_t rows, std::int64_t cols) {
    return {.m = rows, .n = cols, .k = std::min(rows, cols)};
  }

  std::int64_t rows_, cols_, side_;
  Gemm gram_, square_, apply_;
};

}  // namespace tessera::inline TESSERA_SETTING
