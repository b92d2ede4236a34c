/// What a policy is: an empty struct that folds its numbers into the Layout.
#pragma once

#include <tessera/core/rule.hpp>
#include <tessera/plan/layout.hpp>

#include <concepts>
#include <string_view>

namespace tessera::inline TESSERA_SETTING {

/// P::name is the knob; two policies of one name are a misuse unless P::repeats says otherwise.
template <class P>
concept Policy = requires(Layout& layout) {
  { P::set(layout) } -> std::same_as<void>;
  { P::name } -> std::convertible_to<std::string_view>;
};

/// A policy that owns states per weight and updates weights; exactly one is given.
template <class P>
concept Optimizer = Policy<P> && P::is_optimizer && requires {
  { P::states } -> std::convertible_to<int>;
};

}  // namespace tessera::inline TESSERA_SETTING
