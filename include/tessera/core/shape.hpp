/// Extents of a value; the last dimension is the fastest. At most four.
#pragma once

#include <tessera/core/setting.hpp>

#include <cstdint>

namespace tessera::inline TESSERA_SETTING {

struct Shape {
  int rank = 0;
  std::int64_t dim[4]{};  // a plain array: device code indexes it

  /// Negative i counts from the end.
  TESSERA_BOTH constexpr std::int64_t operator[](int i) const { return dim[i < 0 ? rank + i : i]; }
  TESSERA_BOTH constexpr std::int64_t count() const {
    std::int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= dim[i];
    return n;
  }
  TESSERA_BOTH constexpr std::int64_t cols() const { return rank == 0 ? 1 : dim[rank - 1]; }
  TESSERA_BOTH constexpr std::int64_t rows() const { return cols() == 0 ? 0 : count() / cols(); }
  /// The same shape with extent i replaced.
  TESSERA_BOTH constexpr Shape with(int i, std::int64_t n) const {
    Shape s = *this;
    s.dim[i < 0 ? rank + i : i] = n;
    return s;
  }
  bool operator==(Shape const&) const = default;
};

template <class... Extents>
constexpr Shape shape_of(Extents... e) {
  static_assert(sizeof...(Extents) <= 4, "a shape has at most four extents");
  return {int(sizeof...(e)), {std::int64_t(e)...}};
}

}  // namespace tessera::inline TESSERA_SETTING
