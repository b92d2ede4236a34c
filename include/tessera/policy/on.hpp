/// On<Cpu>, On<Cuda>: where a program runs.
#pragma once

#include <tessera/policy/policy.hpp>

#include <type_traits>

namespace tessera::inline TESSERA_SETTING {
namespace rule {
template <class Backend>
struct BackendIsEnabled {
  static_assert(backend_index<Backend> >= 0,
                "On<Backend>: this build has no such backend; On<Cpu> is the default, and On<Cuda> "
                "needs nvcc and -DTESSERA_CUDA");
};
}  // namespace rule

/// Refuses  backends this build does not enable (rule::BackendIsEnabled)
template <class Backend>
struct On : rule::BackendIsEnabled<Backend> {
  static constexpr std::string_view name = "On";
  static constexpr void set(Layout& layout) { layout.gpu = std::is_same_v<Backend, Cuda>; }
};
static_assert(Policy<On<Cpu>>);

}  // namespace tessera::inline TESSERA_SETTING
