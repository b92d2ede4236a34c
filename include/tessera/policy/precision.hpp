/// Precision<T>: the storage type of weights and activations.
#pragma once

#include <tessera/policy/policy.hpp>

#include <type_traits>

namespace tessera::inline TESSERA_SETTING {
namespace rule {
template <class T, class... Enabled>
struct PrecisionIsEnabled {
  static_assert(
      (std::is_same_v<T, Enabled> || ...),
      "Precision<T>: this build stores Enabled... only; use one of them or leave Precision out");
};
#ifdef TESSERA_DOUBLE
template <class T>
using PrecisionIsStored = PrecisionIsEnabled<T, Real>;
#else
template <class T>
using PrecisionIsStored = PrecisionIsEnabled<T, Real, bf16, fp16>;
#endif
}  // namespace rule

/// bf16, fp16: weights, products and what lies between them take 2 bytes; arithmetic, the stream
/// between layers, norms' statistics, the loss and gradients of weights stay float. fp16's range is
/// small, so the loss is scaled and a step that overflows is skipped: run/loss_scale.hpp.
/// Bytes    a weight 2, and beside the optimizer's states what makes it exact: 2 with bf16, the 16
///          bits that it leaves out; 4 with fp16, a float; gathers carry half
/// Refuses  types this build has no kernels for (rule::PrecisionIsEnabled)
template <class T>
struct Precision : rule::PrecisionIsStored<T> {
  static constexpr std::string_view name = "Precision";
  static constexpr DType low = std::is_same_v<T, bf16>   ? DType::bf16
                               : std::is_same_v<T, fp16> ? DType::fp16
                                                         : DType::real;
  static constexpr void set(Layout& layout) { layout.low = low; }
};
static_assert(Policy<Precision<Real>>);

}  // namespace tessera::inline TESSERA_SETTING
