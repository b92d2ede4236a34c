/// A typed window on memory with a shape: how a kernel sees a value.
#pragma once

#include <tessera/core/shape.hpp>

#include <concepts>

namespace tessera::inline TESSERA_SETTING {

template <class T>
struct View {
  T* at = nullptr;
  Shape shape{};

  TESSERA_BOTH constexpr std::int64_t rows() const { return shape.rows(); }
  TESSERA_BOTH constexpr std::int64_t cols() const { return shape.cols(); }
  TESSERA_BOTH constexpr std::int64_t count() const { return shape.count(); }
  TESSERA_BOTH constexpr T* row(std::int64_t r) const { return at + r * shape.cols(); }
  TESSERA_BOTH constexpr T& operator[](std::int64_t i) const { return at[i]; }
  template <std::same_as<T> U>
  TESSERA_BOTH constexpr operator View<U const>() const {
    return {at, shape};
  }
};

}  // namespace tessera::inline TESSERA_SETTING
