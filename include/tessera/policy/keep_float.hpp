/// KeepFloat<"head.*">: parameters that stay float where Precision stores others in 16 bits.
#pragma once

#include <tessera/graph/parameter.hpp>
#include <tessera/policy/policy.hpp>

namespace tessera::inline TESSERA_SETTING {
namespace rule {
template <int Length>
struct KeepFloatIsNamed {
  static_assert(Positive<Length>,
                "KeepFloat<\"pattern\">: name what stays float, as in KeepFloat<\"head.*\">");
};
}  // namespace rule

/// Pattern over paths, '*' for any characters. May be given up to eight times; without effect in
/// Precision<float>. Transformers' models list such modules (_keep_in_fp32_modules).
/// Rewrites  matching parameters lie in flat buffers of their own; the ops that read them take and
///           make float, forward and backward, and so do ops whose operands those have made: casts
///           stand where values pass to or from the other ops
/// Bytes     of what it names a weight 4 with nothing beside it, and a state 4; gathers carry whole
///           floats
/// Refuses   an empty pattern (rule::KeepFloatIsNamed), a ninth one (rule::KeepFloatAtMost), one
///           that matches nothing (rule::KeepFloatMatches)
template <Name Pattern>
struct KeepFloat : rule::KeepFloatIsNamed<int(Pattern.view().size())> {
  static constexpr std::string_view name = "KeepFloat";
  static constexpr bool repeats = true;
  static constexpr void set(Layout& layout) {
    if (layout.full_count < most_full)
      layout.full[std::size_t(layout.full_count++)] = Pattern.view();
  }
};
static_assert(Policy<KeepFloat<"head.*">>);

}  // namespace tessera::inline TESSERA_SETTING
