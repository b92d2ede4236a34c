/// y = x in another type. The graph emits them, where an op takes a value as another type than it
/// is stored in.
#pragma once

#include <tessera/backend/enabled.hpp>
#include <tessera/graph/adjoint.hpp>
#include <tessera/kernels/elementwise.hpp>

namespace tessera::inline TESSERA_SETTING {

struct Narrow {
  static constexpr std::string_view name = "narrow";
  static constexpr Traits traits{.low_out = 1};
  static constexpr Shape shape(Shape x) { return x; }
  static constexpr void adjoint(auto& d) { d.to(0, d.dy()); }
};
template <class B>
struct kernels<Narrow, B> {
  template <class Low, Team T>
  static void run(T const& team, View<Low> y, View<Real const> x) {
    team.run(kernel::Convert<Low, Real>{.y = y, .x = x});
  }
};

struct Widen {
  static constexpr std::string_view name = "widen";
  static constexpr Traits traits{.low_in = 1};
  static constexpr Shape shape(Shape x) { return x; }
  static constexpr void adjoint(auto& d) { d.to(0, d.dy()); }
};
template <class B>
struct kernels<Widen, B> {
  template <class Low, Team T>
  static void run(T const& team, View<Real> y, View<Low const> x) {
    team.run(kernel::Convert<Real, Low>{.y = y, .x = x});
  }
};
static_assert(complete<Narrow> && complete<Widen>);

}  // namespace tessera::inline TESSERA_SETTING
