/// y[.., c] = x[.., c] + bias[c], and its gradient: the sum over rows.
#pragma once

#include <tessera/backend/enabled.hpp>
#include <tessera/graph/adjoint.hpp>
#include <tessera/kernels/bias.hpp>

namespace tessera::inline TESSERA_SETTING {

struct SumRows {  // out[c] (+)= sum_r dy[r, c]
  static constexpr std::string_view name = "sum_rows";
  static constexpr Traits traits{.accumulates = 1, .low_in = 0b1};
  static constexpr auto adjoint = backward_only;
  static constexpr Shape shape(Shape dy) { return shape_of(dy[-1]); }
  static constexpr double flops(Signature const& s) { return double(s.in[0].count()); }
};
template <class B>
struct kernels<SumRows, B> {
  template <class Low, Team T>
  TESSERA_BOTH static void run(T const& team, View<Real> out, View<Low const> dy) {
    team.run(kernel::SumRows<Low>{.out = out, .dy = dy, .accumulate = team.accumulate[0]});
  }
};

struct Bias {
  static constexpr std::string_view name = "bias";
  static constexpr Traits traits{.overwrites = 0b01};
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
  TESSERA_BOTH static void run(T const& team, View<Real> y, View<Real const> x,
                               View<Real const> b) {
    team.run(kernel::BiasAdd<Real>{.y = y, .x = x, .b = b});
  }
};
static_assert(complete<SumRows> && complete<Bias>);

constexpr Value bias(Value x, ParameterSlot const& b) {
  return apply<Bias>(x, b);
}

}  // namespace tessera::inline TESSERA_SETTING
