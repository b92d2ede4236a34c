/// The gradient of a bias: sums over rows.
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
  static void run(T const& team, View<Real> out, View<Low const> dy) {
    team.run(kernel::SumRows<Low>{.out = out, .dy = dy, .accumulate = team.accumulate[0]});
  }
};
static_assert(complete<SumRows>);

}  // namespace tessera::inline TESSERA_SETTING
