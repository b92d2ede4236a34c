/// A typed window on memory with a shape: how a kernel sees a value.
#pragma once

#include <tessera/core/shape.hpp>

#include <type_traits>

namespace tessera {

template <class T>
struct View {
  T* at = nullptr;
  Shape shape{};

  TESSERA_BOTH constexpr std::int64_t rows() const { return shape.rows(); }
  TESSERA_BOTH constexpr std::int64_t cols() const { return shape.cols(); }
  TESSERA_BOTH constexpr std::int64_t count() const { return shape.count(); }
  TESSERA_BOTH constexpr T* row(std::int64_t r) const { return at + r * shape.cols(); }
  TESSERA_BOTH constexpr T& operator[](std::int64_t i) const { return at[i]; }
  TESSERA_BOTH constexpr operator View<T const>() const
    requires(!std::is_const_v<T>)
  {
    return {at, shape};
  }
};

}  // namespace tessera
