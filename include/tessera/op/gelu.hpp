/// GELU in GPT-2's tanh form.
#pragma once

#include <tessera/op/activation.hpp>

namespace tessera::inline TESSERA_SETTING {

struct Gelu : detail::ActivationRules {
  static constexpr std::string_view name = "gelu";
  static constexpr double flops(Signature const& s) { return 20.0 * double(s.out.count()); }
};
template <class B>
struct kernels<Gelu, B> : detail::ActivationKernel<kernel::Gelu> {};
static_assert(complete<Gelu>);

constexpr Value gelu(Value x) {
  return apply<Gelu>(x);
}

}  // namespace tessera::inline TESSERA_SETTING
