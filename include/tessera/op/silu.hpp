/// SiLU, x sigmoid(x).
#pragma once

#include <tessera/op/activation.hpp>

namespace tessera::inline TESSERA_SETTING {

struct Silu : detail::ActivationRules {
  static constexpr std::string_view name = "silu";
  static constexpr double flops(Signature const& s) { return 12.0 * double(s.out.count()); }
};
template <class B>
struct kernels<Silu, B> : detail::ActivationKernel<kernel::Silu> {};
static_assert(complete<Silu>);

constexpr Value silu(Value x) {
  return apply<Silu>(x);
}

}  // namespace tessera::inline TESSERA_SETTING
