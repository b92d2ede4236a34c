/// Muon's passes over elements: momentum before matrices are orthogonalised, the step behind, and
/// between products the polynomial and lengths. Jordan et al., kellerjordan.github.io/posts/muon,
/// 2024; Liu et al., arXiv 2502.16982.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/kernels/chunk.hpp>
#include <tessera/kernels/weights.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// With g' = g * gradient_scale:
///   m = momentum m + g'
///   u = m, or with nesterov g' + momentum m
///
/// Shapes  u, m, g [n]
/// Types   T
/// Moves   4 * sizeof(T) bytes per element
template <class T>
struct MuonMomentum {
  T *u, *m;
  T const* g;
  std::int64_t n;
  double momentum;
  bool nesterov = true;
  double gradient_scale = 1;  // what clipping leaves of the gradient

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(n); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    Chunk const chunk = Chunk::at(r, n);
    T *const update = u + chunk.first, *const buffer = m + chunk.first;
    T const* const gradient = g + chunk.first;
    W const keep = W(momentum), scale = W(gradient_scale);
    // Both rules are one sum, so the loop has no branch.
    W const ahead = W(nesterov ? 1 : 0), behind = W(nesterov ? momentum : 1);
    lane.each(
        chunk.size,
        [=](std::int64_t, T& ui, T& mi, T const& gi) {
          W const d = W(gi) * scale;
          W const mean = keep * W(mi) + d;
          mi = T(mean);
          ui = T(ahead * d + behind * mean);
        },
        update, buffer, gradient);
  }
};

/// w = w (1 - lr decay) - lr u
///
/// Shapes  w, u [n]
/// Types   u T; w Plain<T> or Split
/// Moves   3 * sizeof(T) bytes per element, as much with bf16 weights and remainders
template <class T, class Weights = Plain<T>>
struct MuonStep {
  Weights w;
  T const* u;
  std::int64_t n;
  double lr, decay;

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(n); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    Chunk const chunk = Chunk::at(r, n);
    W const keep = W(1 - lr * decay), step = W(lr);
    each_weight(
        lane, w.from(chunk.first), chunk.size,
        [=](Weights weight, Nearest, T const& ui) {
          weight.set(0, weight.get(0) * keep - step * W(ui));
        },
        u + chunk.first);
  }
};

/// y = x / (|x| + 1e-7), with |x|^2 as a kernel has left it in squares; y may be x.
///
/// Shapes  y, x [n] · squares [1]
/// Types   T
/// Moves   2 * sizeof(T) bytes per element
template <class T>
struct Normalize {
  T* y;
  T const* x;
  double const* squares;
  std::int64_t n;

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(n); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    Chunk const chunk = Chunk::at(r, n);
    W const by = W(1 / (std::sqrt(*squares) + 1e-7));
    T* const out = y + chunk.first;
    T const* const in = x + chunk.first;
    lane.each(
        chunk.size, [=](std::int64_t, T& yi, T const& xi) { yi = T(W(xi) * by); }, out, in);
  }
};

/// y = by x; y may be x.
///
/// Shapes  y, x [n]
/// Types   T
/// Moves   2 * sizeof(T) bytes per element
template <class T>
struct Stretch {
  T* y;
  T const* x;
  std::int64_t n;
  double by;

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(n); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    Chunk const chunk = Chunk::at(r, n);
    W const factor = W(by);
    T* const out = y + chunk.first;
    T const* const in = x + chunk.first;
    lane.each(
        chunk.size, [=](std::int64_t, T& yi, T const& xi) { yi = T(factor * W(xi)); }, out, in);
  }
};

/// p = a I + b p + c s: a polynomial of degree 2 in p, where s = p p.
///
/// Shapes  p, s [n, n]
/// Types   T
/// Moves   3 * sizeof(T) bytes per element
template <class T>
struct Quadratic {
  T* p;
  T const* s;
  std::int64_t n;
  double a, b, c;

  TESSERA_BOTH std::int64_t rows() const { return n; }
  TESSERA_BOTH std::int64_t cols() const { return n; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    T* const to = p + r * n;
    T const* const square = s + r * n;
    W const constant = W(a), linear = W(b), quadratic = W(c);
    lane.each(
        n,
        [=](std::int64_t i, T& pi, T const& si) {
          pi = T(linear * W(pi) + quadratic * W(si) + constant * W(i == r));
        },
        to, square);
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
