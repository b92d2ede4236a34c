/// GELU in GPT-2's tanh form. Its derivative is computed on the way and kept in place of x.
#pragma once

#include <tessera/kernels/activation.hpp>
#include <tessera/op/add.hpp>

namespace tessera::inline TESSERA_SETTING {

struct Gelu {
  static constexpr std::string_view name = "gelu";
  static constexpr Traits traits{.extra_overwrites = 0b1, .low_in = 0b1, .low_out = 0b11};
  static constexpr int extras = 1;  // the slope
  static constexpr Shape shape(Shape x) { return x; }
  static constexpr Shape extra(int, Shape x) { return x; }
  static constexpr double flops(Signature const& s) { return 20.0 * double(s.out.count()); }
  static constexpr void adjoint(auto& d) { d.to(0, apply<Multiply>(d.dy(), d.extra(0))); }
};
template <class B>
struct kernels<Gelu, B> {
  template <class Low, Team T>
  TESSERA_BOTH static void run(T const& team, View<Low> y, View<Low const> x, View<Low> slope) {
    team.run(kernel::Gelu<Low>{.y = y, .slope = slope, .x = x});
  }
};
static_assert(complete<Gelu>);

constexpr Value gelu(Value x) {
  return apply<Gelu>(x);
}

}  // namespace tessera::inline TESSERA_SETTING
