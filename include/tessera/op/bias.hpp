/// y[.., c] = x[.., c] + bias[c]; behind a product it is part of the product.
#pragma once

#include <tessera/op/matmul.hpp>

namespace tessera::inline TESSERA_SETTING {

struct Bias {
  static constexpr std::string_view name = "bias";
  static constexpr Traits traits{.overwrites = 0b01};
  static constexpr std::array fusions{Fusion{0, &table<Matmul>, &table<MatmulBias>}};
  static constexpr ShapeFault check(Shape x, Shape b) { return {x[-1], b[0]}; }
  static constexpr Shape shape(Shape x, Shape b) {
    if (b.rank != 1 || x[-1] != b[0])
      throw "bias: the value's last dimension differs from the bias";
    return x;
  }
  static constexpr void adjoint(auto& d) {
    d.to(1, apply<SumRows>(d.dy()));
    d.to(0, d.dy());
  }
};
template <class B>
struct kernels<Bias, B> {
  template <Team T>
  static void run(T const& team, View<Real> y, View<Real const> x, View<Real const> b) {
    team.run(kernel::BiasAdd<Real>{.y = y, .x = x, .b = b});
  }
};
static_assert(complete<Bias>);

constexpr Value bias(Value x, ParameterSlot const& b) {
  return apply<Bias>(x, b);
}

}  // namespace tessera::inline TESSERA_SETTING
