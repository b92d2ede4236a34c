/// On<Cpu>: where a program runs.
#pragma once

#include <tessera/policy/policy.hpp>

namespace tessera::inline TESSERA_SETTING {
namespace rule {
template <class Backend>
struct BackendIsEnabled {
  static_assert(backend_index<Backend> >= 0,
                "On<Backend>: this build has no such backend; On<Cpu> is the default");
};
}  // namespace rule

/// Refuses  backends this build does not enable (rule::BackendIsEnabled)
template <class Backend>
struct On : rule::BackendIsEnabled<Backend> {
  static constexpr std::string_view name = "On";
  static constexpr void set(Layout&) {}
};
static_assert(Policy<On<Cpu>>);

}  // namespace tessera::inline TESSERA_SETTING
