/// What activations share: the derivative is computed on the way and kept in place of x.
#pragma once

#include <tessera/kernels/activation.hpp>
#include <tessera/op/add.hpp>

namespace tessera::inline TESSERA_SETTING::detail {

struct ActivationRules {
  static constexpr Traits traits{.extra_overwrites = 0b1, .low_in = 0b1, .low_out = 0b11};
  static constexpr int extras = 1;  // the slope
  static constexpr std::string_view saving = "slope kept in place of the input";
  static constexpr Bytes saved(Signature const& s) { return 2 * s.out.count() * size_of(s.low); }
  static constexpr Shape shape(Shape x) { return x; }
  static constexpr Shape extra(int, Shape x) { return x; }
  static constexpr void adjoint(auto& d) { d.to(0, apply<Multiply>(d.dy(), d.extra(0))); }
};

template <template <class> class Kernel>
struct ActivationKernel {
  template <class Low, Team T>
  static void run(T const& team, View<Low> y, View<Low const> x, View<Low> slope) {
    team.run(Kernel<Low>{.y = y, .slope = slope, .x = x});
  }
};

}  // namespace tessera::inline TESSERA_SETTING::detail
