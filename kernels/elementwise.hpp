/// Element by element: sums, products and scaling of whole buffers.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/core/view.hpp>
#include <tessera/kernels/chunk.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// y = a + b; y may be a, and b if it has the same type.
///
/// Shapes  y, a, b: the same, any
/// Types   y and a T, b U, sums in Wide<T>
/// Moves   2 * sizeof(T) + sizeof(U) bytes per element
template <class T, class U = T>
struct Add {
  View<T> y;
  View<T const> a;
  View<U const> b;

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(y.count()); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    Chunk const chunk = Chunk::at(r, y.count());
    T* const out = y.at + chunk.first;
    T const* const left = a.at + chunk.first;
    U const* const right = b.at + chunk.first;
    lane.each(
        chunk.size,
        [](std::int64_t, T& yi, T const& ai, U const& bi) { yi = T(Wide<T>(ai) + Wide<T>(bi)); },
        out, left, right);
  }
};

/// y += x
///
/// Shapes  y, x: the same, any
/// Moves   3 * sizeof(T) bytes per element
template <class T>
struct Accumulate {
  View<T> y;
  View<T const> x;

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(y.count()); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    Add<T>{.y = y, .a = y, .b = x}(lane, r);
  }
};

/// y = a * b; y may be a or b.
///
/// Shapes  y, a, b: the same, any
/// Moves   3 * sizeof(T) bytes per element
template <class T>
struct Multiply {
  View<T> y;
  View<T const> a, b;

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(y.count()); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    Chunk const chunk = Chunk::at(r, y.count());
    T* const out = y.at + chunk.first;
    T const *const left = a.at + chunk.first, *const right = b.at + chunk.first;
    lane.each(
        chunk.size,
        [](std::int64_t, T& yi, T const& ai, T const& bi) { yi = T(Wide<T>(ai) * Wide<T>(bi)); },
        out, left, right);
  }
};

/// y = x, rounded to To.
///
/// Shapes  y, x: the same, any
/// Moves   sizeof(To) + sizeof(From) bytes per element
template <class To, class From>
struct Convert {
  View<To> y;
  View<From const> x;

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(y.count()); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    Chunk const chunk = Chunk::at(r, y.count());
    To* const out = y.at + chunk.first;
    From const* const in = x.at + chunk.first;
    lane.each(
        chunk.size, [](std::int64_t, To& yi, From const& xi) { yi = To(Wide<From>(xi)); }, out, in);
  }
};

/// y = x * *factor; y may be x. The factor is read when the kernel runs, not when it is made.
///
/// Shapes  y, x: the same, any
/// Moves   2 * sizeof(T) bytes per element
template <class T>
struct Scale {
  View<T> y;
  View<T const> x;
  Wide<T> const* factor;

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(y.count()); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    Chunk const chunk = Chunk::at(r, y.count());
    T* const out = y.at + chunk.first;
    T const* const in = x.at + chunk.first;
    Wide<T> const by = *factor;
    lane.each(
        chunk.size, [=](std::int64_t, T& yi, T const& xi) { yi = T(Wide<T>(xi) * by); }, out, in);
  }
};

/// y = 0
///
/// Shapes  y: any
/// Moves   sizeof(T) bytes per element
template <class T>
struct Clear {
  View<T> y;

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(y.count()); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    Chunk const chunk = Chunk::at(r, y.count());
    T* const out = y.at + chunk.first;
    lane.each(chunk.size, [=](std::int64_t i) { out[i] = T(Wide<T>(0)); });
  }
};

/// y[i] = i
///
/// Shapes  y: any
/// Types   T holds the last i
/// Moves   sizeof(T) bytes per element
template <class T>
struct Indices {
  View<T> y;

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(y.count()); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    Chunk const chunk = Chunk::at(r, y.count());
    T* const out = y.at;
    lane.each(chunk.size, [=](std::int64_t i) { out[chunk.first + i] = T(chunk.first + i); });
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
