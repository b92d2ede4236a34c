/// Precision<T>: the storage type of weights and activations.
#pragma once

#include <tessera/policy/policy.hpp>

#include <type_traits>

namespace tessera::inline TESSERA_SETTING {
namespace rule {
template <class T, class Enabled>
struct PrecisionIsEnabled {
  static_assert(
      std::is_same_v<T, Enabled>,
      "Precision<T>: this build stores Enabled only; use that type or leave Precision out");
};
}  // namespace rule

/// Refuses  types this build has no kernels for (rule::PrecisionIsEnabled)
template <class T>
struct Precision : rule::PrecisionIsEnabled<T, Real> {
  static constexpr std::string_view name = "Precision";
  static constexpr void set(Layout& layout) { layout.real = sizeof(T); }
};
static_assert(Policy<Precision<Real>>);

}  // namespace tessera::inline TESSERA_SETTING
