/// ClipNorm: scales gradients down to a largest global norm.
#pragma once

#include <tessera/policy/policy.hpp>

namespace tessera::inline TESSERA_SETTING {

/// The norm is computed and logged with or without it, in a fixed order, and costs no extra pass;
/// the limit is a run-time option.
struct ClipNorm {
  static constexpr std::string_view name = "ClipNorm";
  static constexpr void set(Layout& layout) { layout.clip = true; }
};
static_assert(Policy<ClipNorm>);

}  // namespace tessera::inline TESSERA_SETTING
