/// Parameters as members of layers: shape, initial values, and the name that ties several to one.
#pragma once

#include <tessera/core/setting.hpp>
#include <tessera/core/shape.hpp>

#include <cstddef>
#include <string_view>

namespace tessera::inline TESSERA_SETTING {

/// How a parameter's first values are drawn: from a counter-based generator keyed by seed, path and
/// element, so they do not depend on the layout.
struct Init {
  enum Kind : unsigned char { zeros, ones, normal } kind = normal;
  float deviation = 0.02f;
};
inline constexpr Init zeros{Init::zeros, 0};
inline constexpr Init ones{Init::ones, 0};
constexpr Init normal(float deviation) {
  return {Init::normal, deviation};
}

struct ParameterSlot {
  Shape shape{};
  Init init{};
  std::string_view tie{};
  int id = -1;
  bool running = false;  // what a step adds to it is no optimizer's
};

/// A member of a layer: `Param<Out, In> weight;` or `Param<Width> gain = ones;`.
template <int... Extents>
struct Param : ParameterSlot {
  constexpr Param(Init first = {}) : ParameterSlot{shape_of(Extents...), first} {
    static_assert(((Extents > 0) && ...), "Param<Extents...>: every extent must be positive");
  }
};

/// A running statistic: state that the forward pass updates and no optimizer does. The op that
/// reads it says in its adjoint by how much this micro-batch changes it, `d.to(k, change)`, and a
/// step adds the mean of the changes of its micro-batches and ranks. Evaluation reads it only.
template <int... Extents>
struct Running : ParameterSlot {
  constexpr Running(Init first = {Init::zeros, 0})
      : ParameterSlot{shape_of(Extents...), first, {}, -1, true} {
    static_assert(((Extents > 0) && ...), "Running<Extents...>: every extent must be positive");
  }
};

/// A string as a template argument.
template <std::size_t N>
struct Name {
  char text[N]{};
  constexpr Name(char const (&s)[N]) {
    for (std::size_t i = 0; i < N; ++i) text[i] = s[i];
  }
  constexpr std::string_view view() const { return {text, N - 1}; }
};

/// One parameter used in several places, also across segments: same name, same storage.
template <Name Tie, int... Extents>
struct Tied : ParameterSlot {
  constexpr Tied(Init first = {}) : ParameterSlot{shape_of(Extents...), first, Tie.view()} {
    static_assert(((Extents > 0) && ...), "Tied<Name, Extents...>: every extent must be positive");
  }
};

}  // namespace tessera::inline TESSERA_SETTING
