/// Vectors that the compiler makes, kept as constants.
#pragma once

#include <tessera/core/setting.hpp>

#include <algorithm>
#include <array>
#include <cstddef>

namespace tessera::inline TESSERA_SETTING {

namespace detail {

/// A vector's first elements, and its size: most vectors are made once, to be copied from here.
template <class Source>
struct Made {
  static constexpr std::size_t most = 64;
  using T = typename decltype(Source::make())::value_type;
  std::array<T, most> first{};
  std::size_t size = 0;

  static constexpr Made once() {
    auto const v = Source::make();
    Made m{.size = v.size()};
    std::copy_n(v.begin(), std::min(most, m.size), m.first.begin());
    return m;
  }
};

}  // namespace detail

/// The transient vector that Source::make() returns, as a constant of exactly its size.
template <class Source>
constexpr auto freeze() {
  using Made = detail::Made<Source>;
  constexpr Made made = Made::once();
  std::array<typename Made::T, made.size> out{};
  if constexpr (made.size > Made::most) {
    auto const v = Source::make();
    std::copy(v.begin(), v.end(), out.begin());
  } else if constexpr (made.size > 0) {
    std::copy_n(made.first.begin(), made.size, out.begin());
  }
  return out;
}

}  // namespace tessera::inline TESSERA_SETTING
