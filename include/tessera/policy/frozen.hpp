/// Frozen<"embed.*">: parameters that are not trained.
#pragma once

#include <tessera/graph/parameter.hpp>
#include <tessera/policy/policy.hpp>

namespace tessera::inline TESSERA_SETTING {
namespace rule {
template <int Length>
struct FrozenIsNamed {
  static_assert(Positive<Length>,
                "Frozen<\"pattern\">: name what is frozen, as in Frozen<\"embed.*\">");
};
}  // namespace rule

/// Pattern over paths, '*' for any characters. May be given up to eight times.
/// Rewrites  matching parameters have no gradient, no optimizer state and no step
/// Bytes     saves gradient and optimizer states of what it names
/// Refuses   an empty pattern (rule::FrozenIsNamed), a ninth one (rule::FrozenAtMost)
template <Name Pattern>
struct Frozen : rule::FrozenIsNamed<int(Pattern.view().size())> {
  static constexpr std::string_view name = "Frozen";
  static constexpr bool repeats = true;
  static constexpr void set(Layout& layout) {
    if (layout.frozen_count < most_frozen)
      layout.frozen[std::size_t(layout.frozen_count++)] = Pattern.view();
  }
};
static_assert(Policy<Frozen<"embed.*">>);

}  // namespace tessera::inline TESSERA_SETTING
