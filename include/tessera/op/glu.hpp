/// Gated linear units of one packed value, gate | up: y = f(gate) * up, with f SiLU (SwiGLU) or
/// GELU in its tanh form (GEGLU). Shazeer, arXiv 2002.05202.
#pragma once

#include <tessera/backend/enabled.hpp>
#include <tessera/graph/adjoint.hpp>
#include <tessera/kernels/glu.hpp>

namespace tessera::inline TESSERA_SETTING {

namespace detail {

struct GatedUnitInput {  // operands: dy, x
  static constexpr auto adjoint = backward_only;
  static constexpr Traits traits{.overwrites = 0b10, .low_in = 0b11, .low_out = 0b1};
  static constexpr Shape shape(Shape, Shape x) { return x; }
  static constexpr double flops(Signature const& s) { return 10.0 * double(s.out.count()); }
};
struct GatedUnit {
  static constexpr Traits traits{.low_in = 0b1, .low_out = 0b1};
  static constexpr ShapeFault check(Shape x) { return {x[-1], x[-1] / 2 * 2}; }
  static constexpr Shape shape(Shape x) {
    if (x[-1] % 2 != 0) throw "glu: the value's last dimension is two halves: gate and up";
    return x.with(-1, x[-1] / 2);
  }
  static constexpr double flops(Signature const& s) { return 13.0 * double(s.out.count()); }
};

template <class Curve>
struct GatedUnitKernel {
  template <class Low, Team T>
  static void run(T const& team, View<Low> y, View<Low const> x) {
    team.run(kernel::GatedUnit<Low, Curve>{.y = y, .x = x});
  }
};
template <class Curve>
struct GatedUnitInputKernel {
  template <class Low, Team T>
  static void run(T const& team, View<Low> dx, View<Low const> dy, View<Low const> x) {
    team.run(kernel::GatedUnitInput<Low, Curve>{.dx = dx, .dy = dy, .x = x});
  }
};

}  // namespace detail

struct SwiGluInput : detail::GatedUnitInput {
  static constexpr std::string_view name = "swiglu_dx";
};
struct SwiGlu : detail::GatedUnit {
  static constexpr std::string_view name = "swiglu";
  static constexpr void adjoint(auto& d) { d.to(0, apply<SwiGluInput>(d.dy(), d.in(0))); }
};
struct GeGluInput : detail::GatedUnitInput {
  static constexpr std::string_view name = "geglu_dx";
};
struct GeGlu : detail::GatedUnit {
  static constexpr std::string_view name = "geglu";
  static constexpr void adjoint(auto& d) { d.to(0, apply<GeGluInput>(d.dy(), d.in(0))); }
};
template <class B>
struct kernels<SwiGlu, B> : detail::GatedUnitKernel<kernel::SiluCurve> {};
template <class B>
struct kernels<SwiGluInput, B> : detail::GatedUnitInputKernel<kernel::SiluCurve> {};
template <class B>
struct kernels<GeGlu, B> : detail::GatedUnitKernel<kernel::GeluCurve> {};
template <class B>
struct kernels<GeGluInput, B> : detail::GatedUnitInputKernel<kernel::GeluCurve> {};
static_assert(complete<SwiGlu> && complete<SwiGluInput> && complete<GeGlu> && complete<GeGluInput>);

/// [.., 2 H]: gate | up -> [.., H]
constexpr Value swiglu(Value x) {
  return apply<SwiGlu>(x);
}
constexpr Value geglu(Value x) {
  return apply<GeGlu>(x);
}

}  // namespace tessera::inline TESSERA_SETTING
