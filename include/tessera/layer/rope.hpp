/// Rotary position embedding of queries and keys.
#pragma once

#include <tessera/graph/rules.hpp>
#include <tessera/op/rope.hpp>

namespace tessera::inline TESSERA_SETTING {

/// The first Heads heads of the last dimension rotate, HeadWidth columns each: of packed queries,
/// keys and values, those of queries and keys. `Rope<12 + 4, 64> rope{.theta = 500'000};`
template <int Heads, int HeadWidth, RopeLayout Layout = RopeLayout::half_split>
struct Rope {
  static_assert(sizeof(rule::HeadWidthIsEven<HeadWidth>) > 0);
  double theta = 10'000;
  constexpr Value operator()(Value x) const { return rope<Layout>(x, Heads, HeadWidth, theta); }
};

}  // namespace tessera::inline TESSERA_SETTING
